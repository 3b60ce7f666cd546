"""Generators by name and by folder, and what is said about a name that is none."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from synthaug import list_generators, load_generator
from synthaug.errors import ConfigurationError
from synthaug.generators import registry
from synthaug.generators.alpha_wgan import AlphaWGANSampling
from synthaug.generators.counterfactual import CounterfactualGenerator
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.generators.sampling_config import SamplingConfig
from synthaug.generators.sequence_config import IMAGE_OPTIONS, SequenceSampling
from tests.generators.real_cases import SCHEME, write_case
from tests.generators.tiny_guided_ldm import write_tiny_generator


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one shipped folder of weights and one that is not finished."""
    package = tmp_path / "checkout" / "synthaug" / "generators"
    package.mkdir(parents=True)
    monkeypatch.setattr(registry, "__file__", str(package / "registry.py"))
    folder = write_tiny_generator(tmp_path / "checkout" / "pretrained" / "tiny-brains")
    (tmp_path / "checkout" / "pretrained" / "unfinished").mkdir()
    return folder


def test_shipped_folders_and_systems_without_weights_are_listed(shipped: Path) -> None:
    infos = {info.name: info for info in list_generators()}
    assert set(infos) == {"tiny-brains", "counterfactual", "domain-randomization"}
    assert infos["tiny-brains"].system == "guided-ldm"
    assert infos["tiny-brains"].folder == shipped
    assert infos["counterfactual"].needs_cases


def test_a_generator_is_loaded_by_name_in_a_checkout_and_in_a_wheel(shipped: Path) -> None:
    loaded = load_generator("tiny-brains", device="cpu")
    assert isinstance(loaded, GuidedLDM)
    inside = shipped.parents[1] / "synthaug" / "pretrained"
    shutil.move(shipped.parent, inside)
    assert load_generator("tiny-brains", device="cpu").fingerprint == loaded.fingerprint


def test_a_folder_of_weights_is_loaded_from_anywhere_with_options(tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "mine")
    loaded = load_generator(folder, device="cpu", steps=3)
    assert isinstance(loaded, GuidedLDM)
    assert loaded.config.sampling.mask_steps == 3


def test_the_counterfactual_is_loaded_with_its_cases(tmp_path: Path) -> None:
    case = write_case(tmp_path, "one", 4.0)
    loaded = load_generator("counterfactual", cases=[case], scheme=SCHEME, channels=("T1",), flip=True)
    assert isinstance(loaded, CounterfactualGenerator)
    assert loaded.options.flip


def test_the_counterfactual_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs cases"):
        load_generator("counterfactual")
    with pytest.raises(ConfigurationError, match="needs the label scheme"):
        load_generator("counterfactual", cases=[write_case(tmp_path, "one", 4.0)])


def test_an_unknown_name_is_answered_with_the_nearest_and_all_others(shipped: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean 'tiny-brains'.*tiny-brains, counterfactual"):
        load_generator("tiny-brain")


def test_a_folder_without_configuration_and_an_unknown_system_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no config\.json"):
        load_generator(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"system": "guided-lmd"}))
    with pytest.raises(ConfigurationError, match="did you mean 'guided-ldm'"):
        load_generator(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="holds list, no JSON object"):
        load_generator(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigurationError, match="not JSON"):
        load_generator(tmp_path)


def test_options_of_label_maps_are_known_from_those_of_images() -> None:
    of_images = {"image_steps", "image_shift", *(one for names in IMAGE_OPTIONS.values() for one in names)}
    of_samplers = {one.name for kind in (SamplingConfig, SequenceSampling, AlphaWGANSampling) for one in fields(kind)}
    assert set(registry.LABEL_MAP_OPTIONS) == of_samplers - of_images


def test_counterfactuals_have_no_label_maps_for_the_images_of_others(tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "mine")
    with pytest.raises(ConfigurationError, match="'masks': counterfactual makes no label maps"):
        load_generator(folder, masks="counterfactual")


def test_cases_are_refused_by_a_generator_that_draws_from_none(tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "mine")
    with pytest.raises(ConfigurationError, match="draws from no cases"):
        load_generator(folder, cases=[write_case(tmp_path, "one", 4.0)], scheme=SCHEME)


@pytest.mark.parametrize("option", [{"scheme": 1}, {"channels": ["T1"]}, {"folder": "x"}, {"name": "x"}])
def test_an_option_that_is_no_generator_s_is_refused_in_one_line(tmp_path: Path, option: dict[str, Any]) -> None:
    folder = write_tiny_generator(tmp_path / "tiny")
    with pytest.raises(ConfigurationError, match=f"option '{next(iter(option))}'"):
        load_generator(folder, device="cpu", **option)


def test_a_scheme_of_another_type_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="must be a label scheme"):
        load_generator("counterfactual", cases=[write_case(tmp_path, "one", 4.0)], scheme=1)  # type: ignore[arg-type]
