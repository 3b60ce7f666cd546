"""Options of the generator, as the command line gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.cli.generator_options import GeneratorChoice, sampling_options
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
        ("steps=9", "--steps 5 says so already"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sampling_options([text], steps=5)


def test_a_tolerance_brings_the_rounds_that_it_needs() -> None:
    assert sampling_options(None, tolerance=0.02) == {"volume_tolerance": 0.02, "volume_rounds": 5}
    assert sampling_options(["volume_rounds=2"], tolerance=0.02)["volume_rounds"] == 2
    with pytest.raises(ConfigurationError, match=r"--tolerance 0\.02 says so"):
        sampling_options(["volume_tolerance=0.1"], tolerance=0.02)


def test_errors_about_the_tolerance_name_it(tmp_path: Path) -> None:
    case = f"{tmp_path / 'image.nii.gz'},{tmp_path / 'label.nii.gz'}"
    for file in case.split(","):
        Path(file).touch()
    options = sampling_options(None, tolerance=0.1)
    with pytest.raises(ConfigurationError) as error:
        GeneratorChoice("domain-randomization", options, cases=[case]).open()
    assert str(error.value).startswith("--tolerance 0.1: domain-randomization has no such option")
    assert "volume_rounds" not in str(error.value)


def test_an_option_that_is_given_twice_is_named_as_it_was_given() -> None:
    with pytest.raises(ConfigurationError, match=r"--option volume_tolerance=0\.2: --tolerance 0\.1 says so already"):
        sampling_options(["volume_tolerance=0.2"], tolerance=0.1)


def test_a_step_count_out_of_range_is_named_as_it_was_given() -> None:
    with pytest.raises(ConfigurationError, match=r"^--steps 100000: "):
        GeneratorChoice("ventricles-t1-1mm", sampling_options(None, steps=100000), device="cpu").open()
