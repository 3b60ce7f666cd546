"""Pairs of a study: made once, by training cases alone, or taken from where they are."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import BoundsError, ConfigurationError
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.precomputing.processes import Share
from synthaug.store import Store, StoreInfo
from synthaug.study import pair_cache
from synthaug.study.pair_cache import PairCache
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill
from tests.study.small_study import STAND_IN, small_config, write_dataset


def cache(
    folder: Path,
    choice: dict[str, Any],
    schedule: str | None = "uniform:20:80",
    *,
    num: int = 3,
    schedules: dict[str, Any] | None = None,
) -> PairCache:
    raw = folder / "raw"
    if not raw.exists():
        write_dataset(raw)
    dataset = NnunetDataset("raw", raw, raw)
    known = schedules or ([schedule] if schedule else [])
    config = small_config(raw, generators={"made": choice}, schedules=known)
    training = tuple(paths for name, paths in dataset.cases.items() if name.startswith("train"))
    return PairCache.of(config, "made", schedule, dataset, training, folder / "caches", num=num)


def test_pairs_are_made_once_and_the_generator_is_not_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cache(tmp_path, {"generator": STAND_IN})
    head = made.head("cpu")
    made.make("cpu", Share())
    store, entries = made.open()
    assert len(entries) == 3
    assert all(20 <= entry.requested_ml["ventricles"] <= 80 for entry in entries)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("loaded again")

    monkeypatch.setattr(pair_cache, "load_named_generator", refuse)
    again = cache(tmp_path, {"generator": STAND_IN})
    again.make("cpu", Share())
    assert again.head("cpu").fingerprint == head.fingerprint == store.info.fingerprint


def test_each_schedule_and_option_has_a_folder_of_its_own(tmp_path: Path) -> None:
    choices = [
        cache(tmp_path, {"generator": STAND_IN}),
        cache(tmp_path, {"generator": STAND_IN}, "constant:30"),
        cache(tmp_path, {"generator": STAND_IN, "options": {"flavour": "salt"}}),
    ]
    assert len({one.folder for one in choices}) == 3


def test_pairs_of_the_whole_range_are_made_where_missing_volumes_are_drawn(tmp_path: Path) -> None:
    missing, uniform = (cache(tmp_path, {"generator": STAND_IN}, text) for text in ("missing:20:80", "uniform:20:80"))
    assert missing.folder == uniform.folder
    uniform.make("cpu", Share())
    assert missing.open()[0].names() == uniform.open()[0].names()
    assert given(tmp_path, "missing:20:80").notes() == ()
    (note,) = given(tmp_path, "missing:20:140").notes()
    assert "of schedule missing:20:140" in note


def test_only_generators_that_draw_from_cases_are_told_them(tmp_path: Path) -> None:
    assert cache(tmp_path, {"generator": STAND_IN}).cases == ()
    drawing = cache(tmp_path, {"generator": "counterfactual"})
    assert [one.identifier for one in drawing.cases] == ["train_0", "train_1", "train_2"]
    with_masks = {"generator": "domain-randomization", "options": {"masks": "ventricles-t1-1mm"}}
    assert cache(tmp_path, with_masks).cases == ()


def test_a_generator_whose_pairs_never_pass_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"generators\.made: no pair passes quality control"):
        cache(tmp_path, {"generator": STAND_IN, "options": {"dirty": True}}).make("cpu", Share())


def test_volumes_beyond_the_generator_need_to_be_allowed(tmp_path: Path) -> None:
    assert cache(tmp_path, {"generator": STAND_IN}, "constant:149.9").head("cpu").generator == "stand-in"
    mend = r'^generators\.made: target ventricles=1000 mL.*to 150 mL; .*"extrapolate": true under generators\.made$'
    with pytest.raises(BoundsError, match=mend):
        cache(tmp_path, {"generator": STAND_IN}, "constant:1000").head("cpu")
    allowed = cache(tmp_path, {"generator": STAND_IN, "extrapolate": True}, "constant:1000")
    assert allowed.head("cpu").generator == "stand-in"


def test_cases_are_the_studys_to_give(tmp_path: Path) -> None:
    choice = {"generator": "counterfactual", "options": {"scheme": "ventricles-t1"}}
    with pytest.raises(ConfigurationError, match=r"options\.scheme: the study says which cases"):
        cache(tmp_path, choice).head("cpu")


def test_a_given_cache_is_taken_as_it_is(tmp_path: Path) -> None:
    generator = StandInGenerator()
    fill(Store.create(tmp_path / "given", StoreInfo.of(generator)), generator, (20.0, 30.0, 40.0, 50.0))
    given = cache(tmp_path, {"cache": str(tmp_path / "given")}, None)
    given.make("cpu", Share())
    assert len(given.open()[1]) == 3  # as many as the study asks for
    assert given.folder == tmp_path / "given"
    wrong = cache(tmp_path, {"cache": str(tmp_path / "given")}, "liver=constant:30")
    with pytest.raises(ConfigurationError, match="no volume of 'liver'"):
        wrong.open()


def test_channels_that_the_pairs_lack_are_named(tmp_path: Path) -> None:
    made = cache(tmp_path, {"generator": STAND_IN})
    with pytest.raises(ConfigurationError, match=r"generators\.made: .*FLAIR"):
        made.channel_order(made.head("cpu"), ["FLAIR"])
    assert made.channel_order(made.head("cpu"), ["T1"]) == (0,)


def test_pairs_that_were_lost_are_made_again(tmp_path: Path) -> None:
    made = cache(tmp_path, {"generator": STAND_IN})
    made.make("cpu", Share())
    names = Store.open(made.folder).names()
    shutil.rmtree(made.folder / "cases" / names[1])
    assert names[1] not in Store.open(made.folder).names()
    again = cache(tmp_path, {"generator": STAND_IN})
    again.make("cpu", Share())
    assert Store.open(made.folder).names() == names
    shutil.rmtree(made.folder)
    again.make("cpu", Share())
    assert Store.open(made.folder).names() == names


@pytest.mark.parametrize(("moves", "stored"), [(False, 5), (True, 6)])
def test_fewer_pairs_lie_within_more_unless_volumes_move_with_progress(
    tmp_path: Path, moves: bool, stored: int
) -> None:
    stages = [
        {"until": until, "schedule": {"kind": "uniform", "low_ml": low, "high_ml": low + 20}}
        for until, low in ((0.5, 20), (1.0, 90))
    ]
    wanted = {"kind": "piecewise", "stages": stages} if moves else "uniform:20:120"
    many, few = (
        cache(tmp_path, {"generator": STAND_IN}, "wanted", schedules={"wanted": wanted}, num=num) for num in (5, 2)
    )
    many.make("cpu", Share())
    with pytest.raises(ConfigurationError, match="run the study again"):
        few.open()
    few.make("cpu", Share())
    store, drawn = few.open()
    assert len(store) == stored
    assert many.folder == few.folder
    volumes = [one.requested_ml["ventricles"] for one in drawn]
    assert len(volumes) == 2
    assert {one.name for one in drawn} <= {one.name for one in many.open()[1]} or moves
    assert not moves or (min(volumes) < 45 and max(volumes) > 85)  # of both stages


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"summary": 3, "pairs": []}', '{"summary": {"requested": 9}}'])
def test_a_damaged_note_of_what_was_made_is_written_again(tmp_path: Path, content: str) -> None:
    made = cache(tmp_path, {"generator": STAND_IN})
    made.make("cpu", Share())
    (marker,) = (tmp_path / "caches").glob("*.json")
    text = marker.read_text()
    marker.write_text(content)
    made.make("cpu", Share())
    assert json.loads(marker.read_text())["pairs"] == json.loads(text)["pairs"]


def given(folder: Path, schedule: str) -> PairCache:
    generator = StandInGenerator()
    if not (folder / "given").exists():
        store = Store.create(folder / "given", StoreInfo.of(generator))
        fill(store, generator, (20.0, 40.0, 80.0))
    return cache(folder, {"cache": str(folder / "given")}, schedule)


def test_a_schedule_that_given_pairs_cannot_follow_is_refused_and_told_of_where_they_can_in_part(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"generators\.made: schedule uniform:500:600 draws no volume of its pairs"
    ):
        given(tmp_path, "uniform:500:600").head("cpu")
    assert given(tmp_path, "uniform:20:80").notes() == ()
    partly = given(tmp_path, "uniform:20:140")
    partly.head("cpu")
    (note,) = partly.notes()
    assert re.search(r"generators\.made: 5\d% of schedule uniform:20:140 .* 19.97 to 80 mL", note)


def test_a_given_cache_without_a_pair_is_not_to_be_filled_by_hand_alone(tmp_path: Path) -> None:
    Store.create(tmp_path / "empty", StoreInfo.of(StandInGenerator()))
    with pytest.raises(ConfigurationError, match="holds no pair; give a cache with pairs"):
        cache(tmp_path, {"cache": str(tmp_path / "empty")}).head("cpu")
