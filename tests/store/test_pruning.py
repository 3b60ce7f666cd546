"""Whole cases go, with what was derived from them; what draws from the cache goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from synthaug.cli.app import run
from synthaug.errors import StoreError
from synthaug.schedules import parse_schedule
from synthaug.sources import StoreSource
from synthaug.store import Store, StoreInfo, layout
from synthaug.store.predicate import Predicate
from synthaug.store.pruning import prune
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill


@pytest.fixture
def store(tmp_path: Path) -> Store:
    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator, [20.0, 30.0, 40.0, 50.0, 60.0, 70.0])
    return store


def write_view(store: Store) -> Path:
    view = store.folder / "views" / "0123456789abcdef"
    (view / "cases").mkdir(parents=True)
    (view / "digests").mkdir()
    for name in store.names():
        for ending in (".b2nd", "_seg.b2nd", ".pkl"):
            (view / "cases" / f"{name}{ending}").write_bytes(b"x")
        (view / "digests" / f"{name}.json").write_text("{}")
    return view


def where(store: Store, text: str) -> Predicate:
    return Predicate.parse(text, store.info.scheme)


def test_matching_cases_go_with_their_views_and_the_rest_is_told(store: Store) -> None:
    view = write_view(store)
    pruned = prune(store, where(store, "ventricles>45"))
    assert (len(pruned.names), pruned.remaining) == (3, 3)
    assert {round(entry.requested_ml["ventricles"]) for entry in Store.open(store.folder).entries()} == {20, 30, 40}
    assert {path.name for path in (view / "cases").glob("*.pkl")} == {f"{name}.pkl" for name in store.names()}
    assert len(list(view.rglob("*.*"))) == 4 * 3
    assert not list((store.folder / "cases").glob(".*"))
    assert store.verify() == []


def test_a_run_that_is_killed_leaves_whole_cases_and_is_finished_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = write_view(store)
    removed: list[Path] = []

    def killed_at_the_second(case: Path) -> None:
        if removed:
            raise KeyboardInterrupt
        removed.append(case)
        original(case)

    original = layout.remove_case
    monkeypatch.setattr(layout, "remove_case", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        prune(store, where(store, "ventricles>45"))
    monkeypatch.undo()
    left = Store.open(store.folder)
    assert len(left) == 5
    assert left.verify() == []
    (view / "cases" / "gone.pkl").write_bytes(b"x")  # of a case that an interrupted run took out
    assert prune(left, where(left, "ventricles>45")).remaining == 3
    assert not (view / "cases" / "gone.pkl").exists()


def test_a_disk_that_refuses_is_one_line_and_what_is_left_is_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(case: Path) -> None:
        raise PermissionError(13, "Permission denied", str(case))

    monkeypatch.setattr(layout, "remove_case", refused)
    with pytest.raises(StoreError, match="0 of 3 are removed"):
        prune(store, where(store, "ventricles>45"))
    monkeypatch.undo()
    assert len(Store.open(store.folder)) == 6


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_case_that_is_a_link_is_refused_and_nothing_is_removed_here_or_there(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], dry_run: bool
) -> None:
    shutil.copytree(store.folder, tmp_path / "farm")
    farm, name = Store.open(tmp_path / "farm"), store.names()[3]
    shutil.rmtree(farm.folder / "cases" / name)
    (farm.folder / "cases" / name).symlink_to(store.folder / "cases" / name)
    options = ["--where", "ventricles>0", *(["--dry-run"] if dry_run else [])]
    assert run(["cache", "prune", str(farm.folder), *options]) == 2
    assert f"{name}: is a symbolic link" in capsys.readouterr().err
    assert store.verify() == []
    assert sorted(path.name for path in (farm.folder / "cases").iterdir()) == store.names()
    with pytest.raises(StoreError, match="symbolic link"):
        farm.remove(name)
    assert not [event for event in farm.events.read() if event["event"] == "removed"]
    assert store.is_whole(name)


def test_a_view_that_is_linked_elsewhere_is_left_alone(store: Store, tmp_path: Path) -> None:
    view = write_view(store)
    for place in ("cases", "digests"):
        (view / place).rename(tmp_path / place)
        (view / place).symlink_to(tmp_path / place)
    prune(store, where(store, "ventricles>45"))
    assert len(list((tmp_path / "cases").iterdir())) + len(list((tmp_path / "digests").iterdir())) == 4 * 6


def test_a_source_draws_another_case_in_place_of_one_that_is_gone(store: Store) -> None:
    source = StoreSource(store, parse_schedule("uniform:20:70"), keep_gb=0.5)
    before = [source.draw(index, seed=0, epoch=0) for index in range(40)]
    pairs = {draw.name: draw.read() for draw in before}
    assert len(pairs) > 4
    prune(Store.open(store.folder), where(store, "ventricles>45"))
    kept = set(Store.open(store.folder).names())
    after = [source.draw(index, seed=0, epoch=0) for index in range(40)]
    assert {draw.name for draw in after} == kept
    assert [new.name for old, new in zip(before, after, strict=True) if old.name in kept] == [
        old.name for old in before if old.name in kept
    ]
    gone = next(draw for draw in before if draw.name not in kept)
    source._kept = type(source._kept)(store.read, 0)  # another process, which has read nothing yet
    pair = gone.read()  # drawn before, read after
    assert pair is not None
    assert pair.volumes_ml()["ventricles"] < 45


def test_a_source_whose_cases_are_all_gone_says_so(store: Store) -> None:
    source = StoreSource(store)
    shutil.rmtree(store.folder / "cases")
    with pytest.raises(StoreError, match="the cache is empty"):
        source.draw(0, seed=0, epoch=0)


def test_a_damaged_case_is_not_passed_over_in_silence(store: Store) -> None:
    source = StoreSource(store, keep_gb=0)
    draw = source.draw(0, seed=0, epoch=0)
    (store.folder / "cases" / draw.name / "image.b2nd").write_bytes(b"x")
    with pytest.raises(StoreError, match=draw.name):
        draw.read()


def test_the_command_shows_first_and_then_removes(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["cache", "prune", str(store.folder), "--where", "ventricles>45 or realised error>50%"]
    assert run([*arguments, "--dry-run"]) == 0
    assert "3 cases would be removed, and would remain: 3" in capsys.readouterr().out
    assert len(store) == 6
    assert run([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (len(facts["cases"]), facts["remaining"]) == (3, 3)
    assert run(arguments) == 0
    assert "0 cases removed, remain: 3" in capsys.readouterr().out
    assert run(["cache", "prune", str(store.folder), "--where", "ventrices>45"]) == 2
    assert "did you mean" in capsys.readouterr().err
