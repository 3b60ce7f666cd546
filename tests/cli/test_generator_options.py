"""Options of the generator, as the command line gives them."""

from __future__ import annotations

import pytest

from synthaug.cli.generator_options import sampling_options
from synthaug.errors import ConfigurationError


def test_values_are_json_where_they_are_and_what_was_not_given_is_left_out() -> None:
    texts = ["volume_rounds=0", "guidance_interval=[0.1, 0.9]", "name=soft"]
    assert sampling_options(texts, guidance_scale=2.0) == {
        "guidance_scale": 2.0,
        "volume_rounds": 0,
        "guidance_interval": [0.1, 0.9],
        "name": "soft",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("volume_rounds", "KEY=VALUE is expected"),
        ("device=cpu", "give --device cpu"),
        ("cases=a,b", "give --cases a,b"),
        ("steps=9", "steps is 5 already"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sampling_options([text], steps=5)


def test_a_tolerance_brings_the_rounds_that_it_needs() -> None:
    assert sampling_options(None, tolerance=0.02) == {"volume_tolerance": 0.02, "volume_rounds": 5}
    assert sampling_options(["volume_rounds=2"], tolerance=0.02)["volume_rounds"] == 2
    with pytest.raises(ConfigurationError, match="volume_tolerance is"):
        sampling_options(["volume_tolerance=0.1"], tolerance=0.02)
