"""Settings of the samplers: what is no setting is refused in one line, equal ones are equal."""

from __future__ import annotations

from typing import Any

import pytest

from synthaug.errors import ConfigurationError
from synthaug.generators.sampling_config import SamplingConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mask_steps", "abc"),
        ("mask_steps", 2.5),
        ("mask_steps", True),
        ("image_steps", 1001),
        ("image_steps", float("inf")),
        ("image_steps", [5]),
        ("guidance_scale", True),
        ("guidance_scale", "4"),
        ("guidance_scale", -1),
        ("guidance_scale", float("nan")),
        ("guidance_interval", 5),
        ("guidance_interval", [2, 1]),
        ("guidance_interval", [0.5, 0.1]),
        ("guidance_interval", ["a", "b"]),
        ("guidance_interval", "01"),
        ("mask_shift", 0),
        ("mask_shift", "x"),
        ("image_shift", -1.0),
        ("volume_feedback", -0.5),
        ("volume_shift", 21),
        ("volume_shift", "x"),
        ("mask_temperature", 3),
        ("complete_volumes", 1),
        ("one_piece", "third_ventricle"),
        ("one_piece", [1]),
    ],
)
def test_a_value_that_is_no_setting_is_named_with_what_is_allowed(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"sampling.{name} is .*; it must be") as caught:
        SamplingConfig(**{name: value})
    assert "\n" not in str(caught.value)


def test_equal_settings_have_one_form() -> None:
    typed = SamplingConfig(mask_steps=12.0, guidance_scale=4, guidance_interval=[0, 1], mask_shift=1)  # type: ignore[arg-type]
    assert repr(typed) == repr(
        SamplingConfig(mask_steps=12, guidance_scale=4.0, guidance_interval=(0.0, 1.0), mask_shift=1.0)
    )
