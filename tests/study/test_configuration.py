"""Study files: what is refused, with every mistake at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthaug.configuration import InvalidConfigurationError, config_to_dict, load_config
from synthaug.errors import ConfigurationError
from synthaug.study.arms import plan_runs
from synthaug.study.configuration import StudyConfig
from synthaug.study.segmenters import DynUNetSegmenter, UNet2DSegmenter
from tests.study.small_study import small_config, small_plan

ROOT = Path(__file__).parents[2]


def refusal(**changes: Any) -> str:
    with pytest.raises(InvalidConfigurationError) as caught:
        small_config(Path("somewhere"), **changes)
    return str(caught.value)


def test_all_mistakes_are_told_together_with_what_was_meant() -> None:
    text = refusal(step=7, steps=-1, ratios=[0.5, 2.0], strategies=["reel"], segmenters=["dinunet"])
    for part in ("did you mean 'steps'", "steps is -1", "ratios[1] is 2.0", "did you mean 'real'", "dynunet"):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"fold": 0}, "both are given"),
        ({"test_cases": None}, "neither is given"),
        ({"test_cases": []}, "test_cases is empty"),
        ({"generators": {}}, "strategy mixed needs synthetic pairs"),
        ({"generators": {"a": {}}}, "none of generator, cache and blend"),
        ({"generators": {"a": {"generator": "x", "cache": "y"}}}, "generator and cache"),
        ({"generators": {"a": {"cache": "y", "options": {"steps": 3}}}}, "options and extrapolate are of a generator"),
        ({"generators": {"abc": {"generator": "x"}, "b": {"blend": {"abd": 1}}}}, "did you mean 'abc'"),
        ({"generators": {"a": {"generator": "x"}, "b": {"blend": {"a": 0}}}}, "above 0"),
        ({"schedules": ["unifrom:20:80"]}, "did you mean 'uniform'"),
        ({"schedules": ["uniform:20:80", "uniform:20:80.0"]}, "the same schedule"),
        ({"schedules": ["uniform:20:80", "uniform:20:80"]}, "uniform:20:80 more than once"),
        ({"generators": {"../out": {"generator": "x"}}}, "has the name '../out'"),
        ({"generators": {".a": {"generator": "x"}}}, "the first no '.'"),
        ({"generators": {"a\x00": {"generator": "x"}}}, "1 to 60 letters"),
        ({"generators": {"a" * 61: {"generator": "x"}}}, "1 to 60 letters"),
        ({"seeds": [1, 1]}, "seeds: 1 more than once"),
        ({"seeds": []}, "seeds is empty"),
        ({"segmenters": {"dynunet": {"filters": [4, 8]}}}, "3 levels at least"),
        ({"segmenters": {"dynunet": {"filter": [4, 8, 8]}}}, "did you mean 'filters'"),
        ({"segmenters": {"unetr": {"hidden_size": 10, "heads": 3}}}, "no multiple of heads"),
        ({"segmenters": {"swin-unetr": {"feature_size": 16}}}, "no multiple of 12"),
        ({"bin_edges_ml": [40, 20]}, "increasing"),
        ({"num_pairs": []}, "num_pairs is empty"),
        ({"num_pairs": [3, 3]}, "num_pairs: 3 more than once"),
        ({"num_pairs": [3, 0]}, "num_pairs[1]"),
        ({"num_pairs": "many"}, "a whole number, 1 or more or a list"),
        ({"num_pairs": [2, 3], "segmenters": ["nnunet"], "steps": 250}, "nnunet draws from whole caches"),
        ({"spacing_mm": 0}, "spacing_mm"),
        ({"transfer": {"dataset": 5}}, "neither is given"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, Any], what: str) -> None:
    assert what in refusal(**changes)


def test_segmenters_are_names_or_sizes() -> None:
    named = small_config(Path("x"), segmenters=["dynunet", "unet2d"]).segmenters
    assert named == {"dynunet": DynUNetSegmenter(), "unet2d": UNet2DSegmenter()}
    assert DynUNetSegmenter().filters == (16, 32, 64, 128, 192)


def test_spacing_is_one_number_or_three() -> None:
    assert small_config(Path("x"), spacing_mm=2).grid_spacing_mm == (2, 2, 2)
    assert small_config(Path("x"), spacing_mm=[1, 2, 3]).grid_spacing_mm == (1, 2, 3)


def test_pairs_are_one_number_or_several() -> None:
    assert small_config(Path("x")).pair_counts == (3,)
    assert small_config(Path("x"), num_pairs=[2, 5]).pair_counts == (2, 5)


def test_a_study_without_synthetic_strategies_needs_no_generator() -> None:
    config = small_config(Path("x"), strategies=["real"], generators={})
    assert not config.uses_pairs


def test_weights_of_a_blend_become_shares() -> None:
    generators = {"a": {"generator": "x"}, "b": {"generator": "y"}, "both": {"blend": {"a": 3, "b": 1}}}
    config = small_config(Path("x"), generators=generators)
    assert config.members("both") == {"a": 0.75, "b": 0.25}
    assert config.members("a") == {"a": 1.0}


def test_a_study_survives_writing_and_reading() -> None:
    config = small_config(Path("x"), transfer={"dataset": "y", "fold": 1}, real_cases=[1, 2])
    assert load_config(StudyConfig, config_to_dict(config)) == config


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "study").glob("*.json")), ids=lambda path: path.stem)
def test_the_examples_are_studies(path: Path) -> None:
    config = load_config(StudyConfig, path)
    assert {run.arm.strategy for run in plan_runs(config)} == set(config.strategies)
    places = [config.dataset, *(one.generator or one.cache for one in config.generators.values())]
    assert not any(Path(str(place)).is_absolute() for place in places)


def test_the_small_plan_is_one(tmp_path: Path) -> None:
    assert load_config(StudyConfig, small_plan(tmp_path)).steps == 3


def test_a_folder_is_the_same_however_many_slashes_end_it() -> None:
    one, other = (small_config(Path("x"), dataset=text) for text in ("/x/D", "/x/D//"))
    assert [run.name for run in plan_runs(one)] == [run.name for run in plan_runs(other)]


def test_a_schedule_in_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "wanted.json"
    names = []
    for high in (60, 80, 60):
        path.write_text(json.dumps({"kind": "uniform", "low_ml": 20, "high_ml": high}))
        config = small_config(Path("x"), schedules=[str(path)])
        path.unlink()
        assert load_config(StudyConfig, config_to_dict(config)) == config
        names.append([run.name for run in plan_runs(config)])
    assert names[0] == names[2]
    assert names[0][0] == names[1][0]  # real cases alone
    assert names[0][1] != names[1][1]


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    path.write_text('{"dataset": 5, "spacing_mm": 4, "steps": 3, "fold": 0, "generators": {"a": {}, "a": {}}}')
    with pytest.raises(ConfigurationError, match="key 'a' stands more than once"):
        load_config(StudyConfig, path)
