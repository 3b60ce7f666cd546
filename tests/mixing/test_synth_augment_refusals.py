"""Mistakes of a mixed dataset's user are told in one line, at the start where they can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthaug import SynthAugment
from synthaug.errors import ConfigurationError, StoreError, SynthAugError
from synthaug.schedules import parse_schedule
from synthaug.sources import StoreSource
from synthaug.store import Store
from tests.real_samples import RealCases, make_mixed_cache
from tests.stand_in_generator import StandInGenerator


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mixed_cache(tmp_path_factory.mktemp("mixed") / "cache")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"mode": "mix"}, "replace, append"),
        ({"ratio": 1.5}, "0"),
        ({"ratio": -0.1}, "0"),
        ({"epochs": 0}, "epochs"),
        ({"seed": -1}, "seed"),
        ({"keys": ("img", "label")}, "'img'"),
        ({"source_or_generator": 5}, "int"),
        ({"dataset": []}, "empty"),
        ({"dataset": 5}, "map-style"),
        ({"epochs": 1.5}, "epochs"),
        ({"epochs": float("nan")}, "epochs"),
        ({"epochs": "x"}, "epochs"),
        ({"seed": 1.5}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"rank": True}, "rank"),
        ({"keys": ("image",)}, "keys"),
        ({"keys": None}, "keys"),
        ({"keys": ("image", "image")}, "keys"),
        ({"keys": "il"}, "keys"),
        ({"transform": 5}, "transform"),
        ({"mapping": "freesurfer-to-ventricles-t1"}, "LabelMapping.load('freesurfer-to-ventricles-t1')"),
        ({"extras": [1]}, "extras"),
        ({"provenance_key": None}, "provenance_key"),
        ({"source_or_generator": "ventricles-t1-1mm"}, "synthaug.load_generator('ventricles-t1-1mm')"),
        ({"source_or_generator": StandInGenerator}, "instance"),
        ({"source_or_generator": StandInGenerator(), "schedule": "uniform:300:400"}, "5 to 150 mL"),
        ({"source_or_generator": StandInGenerator(), "schedule": "normal:40:20"}, "5 to 150 mL"),
        ({"source_or_generator": StandInGenerator(), "schedule": "nope=uniform:20:40"}, "nope"),
        ({"source_or_generator": StandInGenerator(), "schedule": "thalamus=uniform:2:4"}, "no target for 'thalamus'"),
        ({"schedule": "uniform:900:1000"}, "10 to 130 mL"),
        ({"source_or_generator": StandInGenerator(channels=("T1", "FLAIR"))}, "FLAIR"),
    ],
)
def test_mistakes_are_told_in_one_line_at_the_start(cache: Path, arguments: dict[str, Any], what: str) -> None:
    given = {"dataset": RealCases(), "source_or_generator": cache, **arguments}
    with pytest.raises(SynthAugError) as caught:
        SynthAugment(**given)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


CURRICULUM = {
    "kind": "piecewise",
    "stages": [{"until": 0.5, "schedule": "constant:20"}, {"until": 1, "schedule": "constant:120"}],
}


def test_moving_volumes_need_to_know_the_progress(cache: Path) -> None:
    mixed = SynthAugment(RealCases(), cache, ratio=1.0, schedule=CURRICULUM)
    with pytest.raises(ConfigurationError, match=r"volume schedule \(piecewise\).*epochs="):
        mixed.set_epoch(500)
    mixed.set_epoch(1, progress=0.9)
    assert mixed.stats()["volume_ml"]["min"] == pytest.approx(120, abs=0.1)


def test_a_curriculum_with_a_stage_that_no_case_answers_is_refused(cache: Path) -> None:
    last = {"until": 1, "schedule": "constant:900"}
    stages = [{"until": 0.999, "schedule": "constant:20"}, last]
    with pytest.raises(StoreError, match="10 to 130 mL"):
        SynthAugment(RealCases(), cache, schedule={"kind": "piecewise", "stages": stages}, epochs=4)


def test_a_schedule_that_the_cache_covers_in_part_is_warned_of(cache: Path) -> None:
    with pytest.warns(UserWarning, match="10 to 130 mL") as caught:
        mixed = SynthAugment(RealCases(), cache, schedule="uniform:100:300")
    assert len(caught) == 1
    assert len(mixed) == len(RealCases())


@pytest.mark.parametrize("place", [(1.5, 0.5), (-1, None), (0, 1.5), (0, float("nan")), (0, "x"), ("x", None)])
def test_an_epoch_or_progress_that_is_none_is_refused(cache: Path, place: tuple[Any, Any]) -> None:
    mixed = SynthAugment(RealCases(), cache)
    with pytest.raises(ConfigurationError, match=r"epoch is|progress is"):
        mixed.set_epoch(*place)


@pytest.mark.parametrize(
    ("transform", "what"),
    [(lambda sample: None, "NoneType"), (lambda sample: {"image": sample["image"]}, "drops 'label'")],
)
def test_a_transform_that_loses_the_sample_is_named(cache: Path, transform: Any, what: str) -> None:
    mixed = SynthAugment(RealCases(), cache, ratio=1.0, transform=transform)
    with pytest.raises(ConfigurationError, match=what):
        mixed[0]


def test_a_folder_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a cache"):
        SynthAugment(RealCases(), tmp_path)


def test_a_source_with_a_schedule_is_given_no_other(cache: Path) -> None:
    source = StoreSource(Store.open(cache), parse_schedule("constant:40"))
    with pytest.raises(ConfigurationError, match="schedule"):
        SynthAugment(RealCases(), source, schedule="constant:50")
