"""Code of the user's own comes in where it is named outright, and nowhere else."""

from __future__ import annotations

import pytest

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.precomputing import load_named_generator
from tests.stand_in_generator import StandInGenerator


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
        ("python:os:getcwd", "cannot be called with device"),
        ("python:json:dumps", "cannot be called with device"),
    ],
)
def test_what_is_no_factory_is_refused_in_one_line(name: str, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_named_generator(name)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def _broken(device: str) -> None:
    raise TypeError(f"a defect of the factory on {device}")


def test_an_error_from_within_a_factory_keeps_its_traceback() -> None:
    with pytest.raises(TypeError, match="a defect of the factory"):
        load_named_generator(f"python:{__name__}:_broken")


def test_a_class_is_no_generator() -> None:
    with pytest.raises(ConfigurationError, match="returned type"):
        load_named_generator(f"python:{__name__}:_a_class")


def _a_class(device: str) -> type:
    return StandInGenerator


@pytest.mark.parametrize("key", ["folder", "name", "name_or_folder"])
def test_a_reserved_option_is_refused_in_one_line(key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"option '{key}' is no option of a generator"):
        load_named_generator("ventricles-t1-1mm", **{key: "x"})


def test_the_registry_itself_runs_no_code_by_name() -> None:
    generators = pytest.importorskip("synthaug.generators")
    with pytest.raises(SynthAugError):
        generators.load_generator("python:tests.stand_in_generator:make")
