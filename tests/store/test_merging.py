"""Caches become one: each case once, what generators saw united, nothing half."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from synthaug.cli.app import run
from synthaug.errors import LeakageError, StoreError
from synthaug.leakage import check_leakage
from synthaug.store import Store, StoreInfo, merging
from synthaug.store.merging import merge
from synthaug.volumes import CaseRecord
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

SEEN = [CaseRecord(f"real_{number}", f"{number}" * 64, None) for number in range(3)]


def cache(folder: Path, volumes_ml: list[float], **of_generator: object) -> Store:
    generator = StandInGenerator(**of_generator)  # type: ignore[arg-type]
    store = Store.create(folder, StoreInfo.of(generator))
    fill(store, generator, volumes_ml)
    return store


def files_of(store: Store) -> dict[str, bytes]:
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for path in sorted((store.folder / "cases").rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("link", [True, False])
def test_cases_of_several_generators_lie_in_one_cache(tmp_path: Path, link: bool) -> None:
    one = cache(tmp_path / "one", [20.0, 30.0], training_cases=SEEN[:2])
    two = cache(tmp_path / "two", [40.0, 50.0], version=2, training_cases=SEEN[1:])
    two.events.write("rejected", name=two.names()[0], seed=5, reasons=["missing-structure"])
    merged = merge(one, [two], link=link)
    assert (len(merged.added), merged.remaining, merged.damaged, merged.duplicates) == (2, 4, {}, {})
    opened = Store.open(one.folder)
    assert opened.info.training_cases == tuple(SEEN)
    assert [maker.fingerprint for maker in opened.info.makers] == [one.info.fingerprint, two.info.fingerprint]
    assert opened.verify() == []
    assert files_of(opened).items() >= files_of(two).items()
    assert opened.rejects == {"missing-structure": 1}
    assert {entry.name for entry in opened.entries()} == set(opened.names())
    image = f"cases/{two.names()[0]}/image.b2nd"
    assert os.path.samefile(one.folder / image, two.folder / image) is link
    with pytest.raises(LeakageError, match="real_2"):
        check_leakage(opened, [SEEN[2]])


def test_a_merged_cache_takes_cases_of_each_of_its_generators_and_of_no_other(tmp_path: Path) -> None:
    one, two = cache(tmp_path / "one", [20.0]), cache(tmp_path / "two", [40.0], version=2)
    merge(one, [two])
    second = StandInGenerator(version=2)
    fill(Store.open_or_create(one.folder, StoreInfo.of(second)), second, [60.0])
    assert len(one) == 3
    with pytest.raises(StoreError, match=r"made with stand-in .* and stand-in"):
        Store.open_or_create(one.folder, StoreInfo.of(StandInGenerator(version=3)))


def test_the_same_case_is_taken_once_by_name_and_by_content(tmp_path: Path) -> None:
    one = cache(tmp_path / "one", [20.0, 30.0])
    two = cache(tmp_path / "two", [20.0, 30.0, 40.0])
    assert two.add("twin", two.read(two.names()[0]))  # the same arrays under another name
    merged = merge(one, [two])
    assert merged.present == 2
    assert len(merged.added) == 1 + (two.names()[0] not in one.names())
    assert len(merged.duplicates) == 1
    again = merge(one, [two])
    assert (again.added, again.present, len(again.duplicates)) == ((), 3, 1)
    assert one.verify() == []


def test_a_damaged_case_is_left_out_by_name(tmp_path: Path) -> None:
    one, two = cache(tmp_path / "one", [20.0]), cache(tmp_path / "two", [40.0, 50.0, 60.0])
    bytes_of, record_of, linked = two.names()
    image = two.folder / "cases" / bytes_of / "image.b2nd"
    content = bytearray(image.read_bytes())
    content[100] ^= 1
    image.write_bytes(content)
    (two.folder / "cases" / record_of / "provenance.json").write_text("{}")
    label = two.folder / "cases" / linked / "label.b2nd"
    os.rename(label, tmp_path / "elsewhere")
    label.symlink_to(tmp_path / "elsewhere")
    told: list[tuple[int, int]] = []
    merged = merge(one, [two], progress=lambda *done: told.append(done))
    assert told == [(number, 3) for number in (1, 2, 3)]
    assert set(merged.damaged) == {bytes_of, record_of, linked}
    assert len(one) == 1
    assert one.verify() == []


@pytest.mark.parametrize("different", [{"channels": ("T2",)}, {"scheme": "freesurfer"}])
def test_other_channels_or_labels_are_refused_and_nothing_changes(tmp_path: Path, different: dict) -> None:
    from synthaug.labels import LabelScheme

    if "scheme" in different:
        full = LabelScheme.load("ventricles-t1")
        different = {"scheme": LabelScheme("other", full.structures, full.groups)}
    one, two = cache(tmp_path / "one", [20.0]), cache(tmp_path / "two", [40.0], **different)
    before = (one.folder / "cache.json").read_bytes()
    with pytest.raises(StoreError, match=str(two.folder)):
        merge(one, [two])
    assert (one.folder / "cache.json").read_bytes() == before
    assert run(["cache", "merge", str(tmp_path / "new"), str(one.folder), str(two.folder)]) == 2
    assert not (tmp_path / "new").exists()


def test_merges_into_one_cache_lose_nothing_of_each_others_head(tmp_path: Path) -> None:
    cache(tmp_path / "one", [20.0], training_cases=SEEN[:1])
    two = cache(tmp_path / "two", [30.0], version=2, training_cases=SEEN[1:2])
    three = cache(tmp_path / "three", [40.0], version=3, training_cases=SEEN[2:])
    opened_before_both, opened_too = Store.open(tmp_path / "one"), Store.open(tmp_path / "one")
    merge(opened_before_both, [two])
    merge(opened_too, [three])
    merged = Store.open(tmp_path / "one")
    assert merged.info.training_cases == tuple(SEEN)
    assert len(merged.info.makers) == 3
    assert merged.verify() == []


def test_a_head_is_written_by_one_merge_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = cache(tmp_path / "one", [20.0]), cache(tmp_path / "two", [30.0], version=2)
    three = cache(tmp_path / "three", [40.0], version=3)
    other = threading.Thread(target=merge, args=(Store.open(one.folder), [three]))
    write = StoreInfo.write
    looked = threading.Event()
    waits = threading.Event.wait

    def in_between(info: StoreInfo, folder: Path) -> None:
        if threading.current_thread() is not other:
            other.start()
            assert waits(looked, 60)
        write(info, folder)

    def poll(event: threading.Event, timeout: float | None = None) -> bool:
        if threading.current_thread() is other and timeout == merging._POLL_S:
            looked.set()
        return waits(event, timeout)

    monkeypatch.setattr(threading.Event, "wait", poll)
    monkeypatch.setattr(StoreInfo, "write", in_between)
    merge(one, [two])
    other.join()
    assert len(Store.open(one.folder).info.makers) == 3


def test_a_cache_is_not_merged_into_itself(tmp_path: Path) -> None:
    one = cache(tmp_path / "one", [20.0])
    (tmp_path / "alias").symlink_to(one.folder)
    with pytest.raises(StoreError, match="merged into"):
        merge(one, [Store.open(tmp_path / "alias")])


def test_an_interrupted_merge_is_whole_case_by_case_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = cache(tmp_path / "one", [20.0]), cache(tmp_path / "two", [40.0, 50.0, 60.0], version=2)
    written: list[Path] = []

    def interrupted(path: Path, content: bytes) -> None:
        if len(written) == 6:
            raise KeyboardInterrupt
        written.append(path)
        original(path, content)

    original = merging.write_synced
    monkeypatch.setattr(merging, "write_synced", interrupted)
    with pytest.raises(KeyboardInterrupt):
        merge(one, [two], link=False)
    monkeypatch.undo()
    opened = Store.open(one.folder)
    assert len(opened) == 2
    assert opened.verify() == []
    assert not list((one.folder / "cases").glob(".*"))
    assert len(merge(opened, [two], link=False).added) == 2


def test_a_full_disk_is_one_line_and_what_was_there_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = cache(tmp_path / "one", [20.0]), cache(tmp_path / "two", [40.0])

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merging, "write_synced", full)
    with pytest.raises(StoreError, match=r"No space left on device.*0 cases were taken in"):
        merge(one, [two], link=False)
    monkeypatch.undo()
    assert (len(one), one.verify()) == (1, [])


def test_the_command_makes_a_new_cache_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = cache(tmp_path / "one", [20.0]), cache(tmp_path / "two", [40.0], version=2)
    arguments = ["cache", "merge", str(tmp_path / "all"), str(one.folder), str(two.folder)]
    assert run([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["cases"], len(facts["added"]), len(facts["generators"])) == (2, 2, 2)
    assert run(arguments) == 0
    assert "0 cases added, 2 were there" in capsys.readouterr().out
    assert run(["cache", "info", str(tmp_path / "all")]) == 0
    assert capsys.readouterr().out.count("stand-in, sha256") == 2
