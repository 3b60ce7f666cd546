"""Code of the user's own comes in where it is named outright, and nowhere else."""

from __future__ import annotations

import pytest

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.precomputing import load_named_generator


def test_a_factory_is_called_with_device_and_options() -> None:
    generator = load_named_generator("python:tests.stand_in_generator:make", device="cpu", steps=5)
    assert generator.name == "stand-in"
    assert generator.options == {"device": "cpu", "steps": 5}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("python:", "MODULE:FACTORY"),
        ("python:no_such_module:make", "no_such_module"),
        ("python:tests.stand_in_generator:nothing", "nothing"),
        ("python:tests.stand_in_generator", "MODULE:FACTORY"),
        ("python:builtins:dict", "not a generator"),
    ],
)
def test_what_is_no_factory_is_refused_in_one_line(name: str, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_named_generator(name)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_registry_itself_runs_no_code_by_name() -> None:
    generators = pytest.importorskip("synthaug.generators")
    with pytest.raises(SynthAugError):
        generators.load_generator("python:tests.stand_in_generator:make")
