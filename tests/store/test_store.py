"""Cases go in completely or not at all, come out bit for bit, and only those of one generator."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import StoreError
from synthaug.quality import check_pair
from synthaug.store import CaseEntry, Store, StoreInfo, case_name
from synthaug.store import store as store_module
from synthaug.volumes import CaseRecord, LabeledVolume
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import VOLUMES_ML, fill


@pytest.fixture
def generator() -> StandInGenerator:
    return StandInGenerator(training_cases=[CaseRecord("real_1", "a" * 64, "b" * 64)])


@pytest.fixture
def store(tmp_path: Path, generator: StandInGenerator) -> Store:
    return Store.create(tmp_path / "cache", StoreInfo.of(generator))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_pair_comes_back_bit_for_bit_with_its_affine_and_provenance(
    store: Store, generator: StandInGenerator
) -> None:
    names = fill(store, generator)
    made = generator.generate([Condition({"ventricles": 35.0})], [1])[0]
    read = Store.open(store.folder).read(names[1])
    np.testing.assert_array_equal(read.image, made.image)
    np.testing.assert_array_equal(read.label, made.label)
    np.testing.assert_array_equal(read.affine, made.affine)
    assert (read.image.dtype, read.label.dtype) == (np.float32, np.int16)
    assert read.provenance == made.provenance
    assert read.scheme == made.scheme


def test_entries_hold_measured_volumes_of_every_structure_and_group(store: Store, generator: StandInGenerator) -> None:
    names = fill(store, generator)
    entries = {entry.name: entry for entry in Store.open(store.folder).entries()}
    assert sorted(entries) == sorted(names)
    for name, asked in zip(names, VOLUMES_ML, strict=True):
        assert entries[name].requested_ml == {"ventricles": asked}
        assert entries[name].realised_ml["ventricles"] == pytest.approx(asked, abs=0.1)
        assert "thalamus" in entries[name].realised_ml


def test_entries_without_event_files_are_read_from_the_cases(store: Store, generator: StandInGenerator) -> None:
    fill(store, generator)
    told = Store.open(store.folder).entries()
    for path in (store.folder / "events").iterdir():
        path.unlink()
    assert Store.open(store.folder).entries() == told


def test_entries_of_cases_added_later_are_seen_by_an_open_store(store: Store, generator: StandInGenerator) -> None:
    reader = Store.open(store.folder)
    assert reader.entries() == []
    names = fill(store, generator)
    assert [entry.name for entry in reader.entries()] == sorted(names)


def test_adding_a_name_twice_keeps_the_first(store: Store, generator: StandInGenerator) -> None:
    name = fill(store, generator, [20.0])[0]
    before = files_of(store.folder / "cases")
    other = generator.generate([Condition({"ventricles": 90.0})], [9])[0]
    assert store.add(name, other) is False
    assert files_of(store.folder / "cases") == before


def test_names_depend_on_everything_that_determines_the_content() -> None:
    condition = Condition({"ventricles": 40.0})
    base = case_name("a", "b", condition, 1)
    others = {
        case_name("x", "b", condition, 1),
        case_name("a", "x", condition, 1),
        case_name("a", "b", Condition({"ventricles": 40.5}), 1),
        case_name("a", "b", Condition({"lateral_ventricles": 40.0}), 1),
        case_name("a", "b", condition, 2),
    }
    assert base == case_name("a", "b", Condition({"ventricles": 40.0}), 1)
    assert len(others | {base}) == 6
    assert base.isalnum()


def test_array_files_have_the_same_bytes_whenever_they_are_written(tmp_path: Path, generator: StandInGenerator) -> None:
    contents = []
    for folder in ("one", "two"):
        store = Store.create(tmp_path / folder, StoreInfo.of(generator))
        fill(store, generator)
        contents.append({k: v for k, v in files_of(store.folder).items() if k.endswith(".b2nd")})
    assert len(contents[0]) == 6
    assert contents[0] == contents[1]


def test_a_pair_of_other_weights_is_refused_in_one_line(store: Store, generator: StandInGenerator) -> None:
    fill(store, generator)
    before = files_of(store.folder)
    other = StandInGenerator(version=2)
    pair = other.generate([Condition({"ventricles": 40.0})], [0])[0]
    with pytest.raises(StoreError) as caught:
        store.add("foreign", pair)
    message = str(caught.value)
    assert "\n" not in message
    assert generator.fingerprint[:12] in message
    assert other.fingerprint[:12] in message
    with pytest.raises(StoreError, match="this cache was made with"):
        Store.open_or_create(store.folder, StoreInfo.of(other))
    assert files_of(store.folder) == before


def test_a_pair_with_other_channels_is_refused(store: Store) -> None:
    pair = StandInGenerator().generate([Condition({"ventricles": 40.0})], [0])[0]
    with pytest.raises(StoreError, match="FLAIR"):
        store.add("foreign", replace(pair, channels=("FLAIR",)))


def test_a_pair_that_failed_quality_control_is_never_stored(store: Store, generator: StandInGenerator) -> None:
    pair = generator.generate([Condition({"ventricles": 40.0})], [0])[0]
    with pytest.raises(StoreError, match="volume-off-target"):
        store.add("bad", pair, check_pair(pair, Condition({"ventricles": 100.0})))
    assert len(store) == 0


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "a" * 101, "a b"])
def test_a_name_that_could_leave_the_store_is_refused(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="name"):
        store.read(name)


def test_reading_a_case_that_is_not_there_says_so(store: Store) -> None:
    with pytest.raises(StoreError, match="no complete case"):
        store.read("nothing")


def test_a_store_is_made_once(store: Store, generator: StandInGenerator) -> None:
    with pytest.raises(StoreError, match="already"):
        Store.create(store.folder, StoreInfo.of(generator))
    assert Store.open_or_create(store.folder, StoreInfo.of(generator)).info == store.info


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, generator: StandInGenerator) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"thesis\.txt"):
        Store.create(tmp_path, StoreInfo.of(generator))
    assert files_of(tmp_path) == {"thesis.txt": b"mine"}


def test_what_is_not_a_store_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a cache"):
        Store.open(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="not a cache"):
        Store.open(tmp_path)


def test_a_newer_format_asks_for_a_newer_program(store: Store) -> None:
    head = store.folder / "cache.json"
    head.write_text(head.read_text().replace('"format_version": 2', '"format_version": 99'))
    with pytest.raises(StoreError, match="update synthaug"):
        Store.open(store.folder)


def test_a_store_can_be_moved_and_pickled(store: Store, generator: StandInGenerator, tmp_path: Path) -> None:
    names = fill(store, generator)
    os.rename(store.folder, tmp_path / "moved")
    moved = pickle.loads(pickle.dumps(Store.open(tmp_path / "moved")))
    assert moved.names() == sorted(names)
    assert moved.read(names[0]).scheme == generator.scheme
    assert moved.verify() == []


def test_a_full_disk_leaves_the_store_as_it_was(
    store: Store, generator: StandInGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, generator)
    before = files_of(store.folder)
    pair: LabeledVolume = generator.generate([Condition({"ventricles": 40.0})], [77])[0]
    real_write = store_module.write_synced

    def full(path: Path, content: bytes) -> None:
        if path.name == "label.b2nd":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real_write(path, content)

    monkeypatch.setattr(store_module, "write_synced", full)
    with pytest.raises(StoreError, match="No space left"):
        store.add("next", pair)
    assert files_of(store.folder) == before
    assert store.verify() == []


@pytest.mark.parametrize("last_file", ["image.b2nd", "label.b2nd", "provenance.json", "done"])
def test_a_case_whose_writer_dies_at_any_file_is_not_there(
    store: Store, generator: StandInGenerator, monkeypatch: pytest.MonkeyPatch, last_file: str
) -> None:
    pair = generator.generate([Condition({"ventricles": 40.0})], [5])[0]
    real_write = store_module.write_synced
    killed = pytest.importorskip("multiprocessing").get_context("fork")

    def die() -> None:
        def write(path: Path, content: bytes) -> None:
            real_write(path, content[: len(content) // 2] if path.name == last_file else content)
            if path.name == last_file:
                os._exit(9)

        monkeypatch.setattr(store_module, "write_synced", write)
        store.add("victim", pair)

    process = killed.Process(target=die)
    process.start()
    process.join()
    assert process.exitcode == 9
    assert "victim" not in store
    assert store.names() == []
    orphans = store.verify()
    assert [problem.kind for problem in orphans] == ["leftover"]
    assert store.clean() == 1
    assert store.verify() == []
    assert store.add("victim", pair)
    assert store.verify() == []


def test_a_case_that_lost_its_marker_is_made_again(store: Store, generator: StandInGenerator) -> None:
    name = fill(store, generator, [20.0])[0]
    (store.folder / "cases" / name / "done").unlink()
    assert name not in store
    assert [problem.kind for problem in store.verify()] == ["incomplete"]
    fill(store, generator, [20.0])
    assert name in store
    assert store.verify() == []


def test_a_symbolic_link_is_not_followed(store: Store, generator: StandInGenerator, tmp_path: Path) -> None:
    name = fill(store, generator, [20.0])[0]
    image = store.folder / "cases" / name / "image.b2nd"
    os.rename(image, tmp_path / "elsewhere.b2nd")
    image.symlink_to(tmp_path / "elsewhere.b2nd")
    with pytest.raises(StoreError, match="symbolic link"):
        store.read(name)
    assert [problem.name for problem in store.verify()] == [name]


def test_given_up_requests_are_remembered_until_the_case_is_stored(store: Store, generator: StandInGenerator) -> None:
    store.give_up("hopeless", {"attempts": 4, "rejects": {"missing-structure": 4}})
    facts = Store.open(store.folder).given_up("hopeless")
    assert facts is not None
    assert facts["attempts"] == 4
    assert store.add("hopeless", generator.generate([Condition({"ventricles": 40.0})], [5])[0])
    assert store.given_up("hopeless") is None
    assert store.verify() == []


def test_rejects_repeated_after_a_crash_count_once(store: Store) -> None:
    for _ in range(2):
        store.events.write("rejected", name="one", seed=1, reasons=["missing-structure", "volume-off-target"])
    store.events.write("rejected", name="two", seed=1, reasons=["missing-structure"])
    assert store.rejects == {"missing-structure": 2, "volume-off-target": 1}
    assert store.events.rejects_of({"two"}) == {"missing-structure": 1}


def test_a_case_that_was_removed_is_not_missed_and_may_come_again(tmp_path: Path) -> None:
    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    names = fill(store, generator)
    store.remove(names[1])
    assert sorted(store.names()) == sorted([names[0], names[2]])
    assert {entry.name for entry in Store.open(tmp_path / "cache").entries()} == {names[0], names[2]}
    assert not store.verify()


def without_events(store: Store, generator: StandInGenerator, monkeypatch: pytest.MonkeyPatch) -> list[CaseEntry]:
    """Fill a store, take its events away, and return the entries that it had."""
    monkeypatch.setattr(store_module, "WORTH_INDEXING", 2)
    fill(store, generator)
    known = store.entries()
    shutil.rmtree(store.folder / "events")
    return known


def test_cases_without_events_are_noted_down_for_whoever_opens_the_store_next(
    store: Store, generator: StandInGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = without_events(store, generator, monkeypatch)
    first, second = Store.open(store.folder), Store.open(store.folder)
    assert first.entries() == known
    monkeypatch.setattr(Store, "provenance", lambda *_: pytest.fail("read again"))
    assert second.entries() == known
    monkeypatch.undo()
    second.remove(known[0].name)
    assert Store.open(store.folder).entries() == known[1:]
    assert Store.open(store.folder).verify() == []


def test_a_store_without_events_that_cannot_be_written_to_is_read(
    store: Store, generator: StandInGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = without_events(store, generator, monkeypatch)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    opened = Store.open(store.folder)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert opened.entries() == known


@pytest.mark.parametrize(
    "facts", [{"seed": [1], "reasons": []}, {"seed": 1, "reasons": None}, {"seed": 1, "reasons": [[]]}, {"name": []}]
)
def test_an_event_with_a_right_checksum_and_other_types_is_ignored(store: Store, facts: dict[str, Any]) -> None:
    store.events.write("rejected", name="one", seed=1, reasons=["missing-structure"])
    store.events.write("rejected", **{"name": "one", **facts})
    assert store.rejects == {"missing-structure": 1}
    assert store.events.rejects_of({"one"}) == {"missing-structure": 1}
