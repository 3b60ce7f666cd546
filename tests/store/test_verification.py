"""Any byte that is flipped and any file that is shortened is found, with the name of its case."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthaug.errors import StoreError
from synthaug.store import Store, StoreInfo
from synthaug.store.predicate import Predicate
from synthaug.store.pruning import prune
from synthaug.store.verification import verify_folder
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import VOLUMES_ML, fill


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = StandInGenerator()
    store = Store.create(tmp_path_factory.mktemp("sound") / "cache", StoreInfo.of(generator))
    fill(store, generator)
    store.events.write("rejected", name="x", seed=1, reasons=["missing-structure"])
    store.give_up("hopeless", {"attempts": 4})
    return store.folder


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Store:
    shutil.copytree(sound, tmp_path / "cache")
    return Store.open(tmp_path / "cache")


def all_files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def test_a_sound_store_has_no_problem(store: Store) -> None:
    assert len(store) == 3
    assert store.verify() == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_in_any_file_is_found(store: Store, data: st.DataObject) -> None:
    path = store.folder / data.draw(st.sampled_from(all_files(store.folder)))
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    path.write_bytes(changed)
    try:
        problems = store.verify()
        assert problems
        if path.parent.name == "given-up":
            assert [problem.name for problem in problems] == ["hopeless"]
        if path.parent.parent.name == "cases":
            assert {problem.name for problem in problems} == {path.parent.name}
            assert path.parent.name in str(problems[0])
    finally:
        path.write_bytes(content)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_truncated_case_file_is_found_and_never_served(store: Store, data: st.DataObject) -> None:
    cases = [path for path in all_files(store.folder) if path.parts[0] == "cases"]
    path = store.folder / data.draw(st.sampled_from(cases))
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    try:
        assert {problem.name for problem in store.verify()} == {path.parent.name}
        with pytest.raises(StoreError, match=path.parent.name):
            store.read(path.parent.name)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("file", ["image.b2nd", "label.b2nd", "provenance.json", "done"])
def test_a_missing_file_is_found(store: Store, file: str) -> None:
    name = store.names()[1]
    (store.folder / "cases" / name / file).unlink()
    assert {problem.name for problem in store.verify()} == {name}


def test_a_file_that_does_not_belong_is_an_orphan(store: Store) -> None:
    name = store.names()[0]
    (store.folder / "cases" / name / "notes.txt").write_text("x")
    (store.folder / "cases" / "stray.txt").write_text("x")
    kinds = {(problem.name, problem.kind) for problem in store.verify()}
    assert kinds == {(name, "orphan"), ("stray.txt", "orphan")}


def test_a_renamed_copy_is_found(store: Store) -> None:
    name = store.names()[0]
    shutil.copytree(store.folder / "cases" / name, store.folder / "cases" / "copy")
    problems = store.verify()
    assert {problem.name for problem in problems} == {"copy"}
    with pytest.raises(StoreError, match="renamed copy"):
        store.read("copy")


def test_the_same_arrays_under_two_names_are_a_duplicate(store: Store) -> None:
    generator = StandInGenerator()
    pair = store.read(store.names()[0])
    assert pair.provenance["generator_sha256"] == generator.fingerprint
    assert store.add("twin", pair)
    assert [problem.kind for problem in store.verify()] == ["duplicate"]


def test_a_changed_end_of_the_last_event_is_damage(store: Store) -> None:
    path = next((store.folder / "events").iterdir())
    path.write_bytes(path.read_bytes()[:-1] + b"\x0b")
    assert [problem.file for problem in store.verify()] == [f"events/{path.name}"]


def test_an_unfinished_last_line_of_events_is_no_damage(store: Store) -> None:
    path = next((store.folder / "events").iterdir())
    path.write_bytes(path.read_bytes() + b'{"event": "stor')
    assert store.verify() == []
    assert len(store.entries()) == 3


def test_cases_that_were_stored_and_are_gone_are_missing(store: Store) -> None:
    names = store.names()
    shutil.rmtree(store.folder / "cases" / names[0])
    assert [(problem.name, problem.kind) for problem in store.verify()] == [(names[0], "missing")]
    shutil.rmtree(store.folder / "cases")
    assert [problem.name for problem in store.verify()] == names


def test_a_case_that_was_made_again_and_pruned_is_not_missed(store: Store) -> None:
    names = store.names()
    (damaged,) = [entry.name for entry in store.entries() if entry.seed == 0]
    (store.folder / "cases" / damaged / "label.b2nd").write_bytes(b"x")
    assert store.remove_damaged(damaged)
    assert fill(store, StandInGenerator(), VOLUMES_ML[:1]) == [damaged]
    prune(store, Predicate.parse("seed < 1", store.info.scheme))
    assert store.names() == [name for name in names if name != damaged]
    assert store.verify() == []


def test_a_case_that_was_removed_made_again_and_lost_is_missing(store: Store) -> None:
    (name,) = [entry.name for entry in store.entries() if entry.seed == 0]
    store.remove(name)
    assert fill(store, StandInGenerator(), VOLUMES_ML[:1]) == [name]
    shutil.rmtree(store.folder / "cases" / name)
    assert [(problem.name, problem.kind) for problem in store.verify()] == [(name, "missing")]


@pytest.mark.parametrize("remover", ["a", "z"])
def test_a_removal_by_another_process_is_one_whatever_the_order_of_the_files(store: Store, remover: str) -> None:
    name, kept = store.names()[:2]
    store.remove(name)
    file = next((store.folder / "events").iterdir())
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    (store.folder / "events" / f"{remover}.jsonl").write_bytes(lines[-1])
    shutil.rmtree(store.folder / "cases" / kept)
    assert [(problem.name, problem.kind) for problem in store.verify()] == [(kept, "missing")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"format":"synthaug-cache","format_version":1,"x":NaN}',
        b'{"format":"synthaug-cache","format_version":1}',
    ],
)
def test_a_damaged_head_is_a_problem_beside_all_others(store: Store, content: bytes) -> None:
    (store.folder / "cache.json").write_bytes(content)
    name = store.names()[0]
    (store.folder / "cases" / name / "label.b2nd").unlink()
    assert [problem.name for problem in verify_folder(store.folder)] == ["", name]
    with pytest.raises(StoreError, match=r"cache\.json"):
        Store.open(store.folder)


def test_a_folder_without_a_head_is_no_cache(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a cache"):
        verify_folder(tmp_path)


def test_a_record_that_cannot_be_read_does_not_hide_other_problems(store: Store) -> None:
    folder = store.folder / "given-up"
    (folder / "linked.json").symlink_to(folder / "hopeless.json")
    (folder / "large.json").write_bytes(bytes((4 << 20) + 1))
    (folder / "folder.json").mkdir()
    name = store.names()[0]
    (store.folder / "cases" / name / "image.b2nd").unlink()
    found = {problem.name: problem.message for problem in store.verify()}
    assert set(found) == {name, "linked", "large", "folder"}
    assert "remove it" in found["linked"]


def test_a_record_without_its_list_of_files_is_a_problem_of_its_case(store: Store) -> None:
    from synthaug.store.arrays import digest

    name = store.names()[0]
    folder = store.folder / "cases" / name
    described = {key: value for key, value in store.provenance(name).items() if key != "files"}
    content = json.dumps(described).encode()
    (folder / "provenance.json").write_bytes(content)
    (folder / "done").write_text(digest(content) + "\n")
    assert [problem.name for problem in store.verify()] == [name]


@pytest.mark.parametrize("folder", ["cases", "events", "claims", "given-up"])
def test_a_file_in_place_of_a_folder_is_one_line_with_a_mend(store: Store, folder: str) -> None:
    shutil.rmtree(store.folder / folder, ignore_errors=True)
    (store.folder / folder).write_text("x")
    (problem,) = verify_folder(store.folder)
    assert (problem.file, "restore it" in problem.message) == (folder, True)
    with pytest.raises(StoreError, match=f"{folder}: is not a folder"):
        Store.open(store.folder)


def test_a_missing_record_is_called_missing_where_info_counts_the_case(store: Store) -> None:
    name = store.names()[0]
    (store.folder / "cases" / name / "provenance.json").unlink()
    (problem,) = store.verify()
    assert "provenance.json is missing" in problem.message
    assert name in {entry.name for entry in store.entries()}
