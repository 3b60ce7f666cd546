"""Caches on the hub: pinned, licensed, whole, and nothing let in that is no part of a cache."""

from __future__ import annotations

import errno
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthaug.cli.app import run
from synthaug.errors import ConfigurationError, StoreError
from synthaug.store import Store, StoreInfo, hub
from synthaug.store.arrays import digest, encode
from synthaug.store.hub import pull, push
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill
from tests.store.hub_stand_in import HubStandIn

LICENCE = "CC BY-NC 4.0"
NAME = "lab/pairs"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    generator = StandInGenerator()
    generator.licence = LICENCE  # type: ignore[attr-defined]
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator)
    return store


@pytest.fixture
def api() -> HubStandIn:
    return HubStandIn()


def cases_of(store: Store) -> dict[str, bytes]:
    folder = store.folder / "cases"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_pulled_is_what_was_pushed(store: Store, api: HubStandIn, tmp_path: Path) -> None:
    commit = push(store, NAME, api=api)
    assert api.created[0]["private"] is True
    pulled = pull(NAME, tmp_path / "new" / "pulled", revision=commit, api=api)
    assert cases_of(pulled) == cases_of(store)
    assert pulled.info == store.info
    assert pulled.verify() == []
    assert sorted(path.name for path in pulled.folder.iterdir()) == ["README.md", "cache.json", "cases", "events"]
    assert [path.name for path in pulled.folder.parent.iterdir()] == ["pulled"]
    pulled_from = [event for event in pulled.events.read() if event["event"] == "pulled"]
    assert pulled_from[0]["revision"] == commit


def test_the_card_carries_the_licence_of_the_weights_and_what_was_seen(store: Store, api: HubStandIn) -> None:
    push(store, NAME, api=api)
    card = api.commits[api.newest]["README.md"].decode()
    head = dict(line.split(": ", 1) for line in card.split("---")[1].strip().splitlines())
    assert json.loads(head["license"]) == "cc-by-nc-4.0"
    assert LICENCE in card.replace("\\", "")
    assert store.info.fingerprint in card
    assert "| ventricles | 20.0 | 60.0 |" in card


def test_names_from_files_become_no_markup(tmp_path: Path, api: HubStandIn) -> None:
    generator = StandInGenerator()
    generator.name = "<img src=x>\n---\n[a](http://b)"
    generator.licence = "MIT"  # type: ignore[attr-defined]
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator, [20.0])
    push(store, NAME, api=api)
    card = api.commits[api.newest]["README.md"].decode()
    body = card.split("\n---\n")[1]
    assert not re.search(r"(?<!\\)[<\[]", body.replace("    synthaug", ""))


@pytest.mark.parametrize("licence", [None, "unknown"])
def test_without_a_licence_nothing_is_pushed(tmp_path: Path, api: HubStandIn, licence: str | None) -> None:
    generator = StandInGenerator()
    generator.licence = licence  # type: ignore[attr-defined]
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator, [20.0])
    with pytest.raises(ConfigurationError, match="give --licence"):
        push(store, NAME, api=api)
    assert not api.created
    push(store, NAME, licence="Own Terms 1.0", api=api)
    card = api.commits[api.newest]["README.md"].decode()
    assert 'license: "other"' in card
    assert 'license_name: "Own Terms 1.0"' in card


def test_the_licence_of_the_weights_is_not_replaced(store: Store, api: HubStandIn) -> None:
    with pytest.raises(ConfigurationError, match="CC BY-NC"):
        push(store, NAME, licence="MIT", api=api)


def test_a_damaged_cache_is_not_pushed(store: Store, api: HubStandIn) -> None:
    name = store.names()[0]
    (store.folder / "cases" / name / "label.b2nd").write_bytes(b"x")
    with pytest.raises(StoreError, match=name):
        push(store, NAME, api=api)
    assert not api.commits


def test_a_push_goes_on_where_it_broke_and_takes_pruned_cases_out(
    store: Store, api: HubStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "CASES_IN_A_COMMIT", 1)
    api.fail_after = 2
    with pytest.raises(ConfigurationError, match="Connection reset"):
        push(store, NAME, api=api)
    assert "cache.json" not in api.commits[api.newest]
    before = len(api.commits)
    push(store, NAME, api=api)
    assert len(api.commits) == before + 2  # the last case, then head and card
    gone = store.names()[0]
    store.remove(gone)
    push(store, NAME, api=api)
    assert not [path for path in api.commits[api.newest] if gone in path]
    assert len(api.commits[api.newest]) == 2 + 2 * 4


def test_a_repository_of_somebody_elses_data_is_refused_and_untouched(store: Store, api: HubStandIn) -> None:
    theirs = {
        "README.md": b"our patients",
        "data.csv": b"1",
        "cases/patient_001/ct.nii.gz": b"2",
        "cases/index.csv": b"3",
    }
    commit = api.put(theirs)
    with pytest.raises(StoreError, match=r"README\.md.*no cache\.json.*name a new repository"):
        push(store, NAME, api=api)
    assert (api.newest, api.commits[commit]) == (commit, theirs)


def test_a_repository_with_another_head_or_another_generators_is_refused(
    store: Store, api: HubStandIn, tmp_path: Path
) -> None:
    other = StandInGenerator(version=2)
    other.licence = LICENCE  # type: ignore[attr-defined]
    others_cache = Store.create(tmp_path / "other", StoreInfo.of(other))
    fill(others_cache, other, [20.0])
    commit = push(others_cache, NAME, api=api)
    with pytest.raises(StoreError, match=f"holds a cache of stand-in .{others_cache.info.fingerprint[:12]}"):
        push(store, NAME, api=api)
    assert api.newest == commit
    for head in (b'{"cache": "of somebody else"}', b"not json"):
        commit = api.put({"cache.json": head, "cases/a/done": b"x"})
        with pytest.raises(
            StoreError, match=rf"{NAME}: cache\.json is not the head of a cache \(.*name a new"
        ) as raised:
            push(store, NAME, api=api)
        assert api.newest == commit
        assert "tmp" not in str(raised.value)


def test_of_the_repository_only_files_of_cases_are_deleted(store: Store, api: HubStandIn) -> None:
    push(store, NAME, api=api)
    gone = store.names()[0]
    kept = {"data.csv": b"1", "cases/index.csv": b"2", "cases/patient_001/ct.nii.gz": b"3", ".gitattributes": b"4"}
    api.put({**api.commits[api.newest], **kept})
    store.remove(gone)
    push(store, NAME, api=api)
    assert api.commits[api.newest].items() >= kept.items()
    assert not [path for path in api.commits[api.newest] if gone in path]


def test_what_the_hub_puts_into_a_new_repository_is_no_obstacle(store: Store, api: HubStandIn) -> None:
    api.put({".gitattributes": b"*.b2nd filter=lfs"})
    push(store, NAME, api=api)
    assert "cache.json" in api.commits[api.newest]


@pytest.mark.parametrize(
    ("is_private", "wanted_private", "said"),
    [
        (None, True, ""),
        (None, False, "is public, everybody sees what is pushed"),
        (True, True, ""),
        (True, False, "is private (it was there before"),
        (False, True, "is public, everybody sees what is pushed (it was there before"),
    ],
)
def test_who_sees_the_repository_is_told_before_anything_is_uploaded(
    store: Store, api: HubStandIn, is_private: bool | None, wanted_private: bool, said: str
) -> None:
    api.private = is_private
    told: list[str] = []

    def announce(line: str) -> None:
        assert not api.commits
        told.append(line)

    push(store, NAME, private=wanted_private, announce=announce, api=api)
    assert len(told) == bool(said)
    assert said in "".join(told)


@pytest.mark.parametrize("revision", [None, "main", "abc123"])
def test_a_revision_that_is_no_commit_is_refused_with_the_one_to_name(
    store: Store, api: HubStandIn, tmp_path: Path, revision: str | None
) -> None:
    commit = push(store, NAME, api=api)
    with pytest.raises(ConfigurationError, match=commit):
        pull(NAME, tmp_path / "pulled", revision=revision, api=api)
    assert not api.downloaded


def test_a_pull_goes_on_where_it_broke(store: Store, api: HubStandIn, tmp_path: Path) -> None:
    commit = push(store, NAME, api=api)
    api.fail_after = 5
    with pytest.raises(ConfigurationError, match="Connection reset"):
        pull(NAME, tmp_path / "pulled", revision=commit, api=api)
    assert not (tmp_path / "pulled").exists()
    pull(NAME, tmp_path / "pulled", revision=commit, api=api)
    assert len(api.downloaded) == len(set(api.downloaded)) == 2 + 3 * 4


def test_files_of_others_in_the_repository_are_left_there(store: Store, api: HubStandIn, tmp_path: Path) -> None:
    push(store, NAME, api=api)
    extra = {".gitattributes": b"x", "evil.py": b"x", "views/k/cases/a.pkl": b"x", "events/a.jsonl": b"x"}
    commit = api.put({**api.commits[api.newest], **extra})
    pulled = pull(NAME, tmp_path / "pulled", revision=commit, api=api)
    assert pulled.verify() == []
    assert not [path for path in pulled.folder.rglob("*") if path.suffix in (".py", ".pkl")]


def hostile(files: dict[str, bytes], case: str, what: str, api: HubStandIn, tmp_path: Path) -> dict[str, bytes]:
    """The files of a repository with one of them made to do harm."""
    provenance = f"cases/{case}/provenance.json"
    described = json.loads(files[provenance])
    if what == "path":
        return {**files, "cases/../../escaped/done": b"x"}
    if what == "absolute":
        return {**files, "/etc/escaped": b"x"}
    if what == "backslash":
        return {**files, "cases\\..\\escaped": b"x"}
    if what == "nested":
        return {**files, f"cases/{case}/deeper/image.b2nd": b"x"}
    if what == "link":
        api.links[f"cases/{case}/image.b2nd"] = str(tmp_path / "secret")
    if what == "large":
        return {**files, provenance: b" " * ((4 << 20) + 1)}
    if what == "bomb":  # a frame that is small and claims to be huge
        described["files"]["image.b2nd"]["shape"] = [1, 10**6, 10**6, 10**6]
    if what == "other array":
        described["files"]["image.b2nd"]["array_sha256"] = "0" * 64
    if what == "other labels":
        import numpy as np

        frame = encode(np.full((32, 32, 32), 999, np.int16))
        files = {**files, f"cases/{case}/label.b2nd": frame}
        from synthaug.store.arrays import array_digest

        described["files"]["label.b2nd"] |= {
            "sha256": digest(frame),
            "bytes": len(frame),
            "array_sha256": array_digest(np.full((32, 32, 32), 999, np.int16)),
        }
    if what == "other generator":
        described["pair"]["generator_sha256"] = "0" * 64
    if what == "byte":
        return {**files, provenance: files[provenance] + b" "}
    if what == "no head":
        return {path: content for path, content in files.items() if path != "cache.json"}
    if what == "newer":
        return {**files, "cache.json": files["cache.json"].replace(b'"format_version": 2', b'"format_version": 9')}
    content = json.dumps(described).encode()
    return {**files, provenance: content, f"cases/{case}/done": (digest(content) + "\n").encode()}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("path", "lead out"),
        ("absolute", "lead out"),
        ("backslash", "lead out"),
        ("nested", "no file of a case"),
        ("link", "is a link"),
        ("large", "at most"),
        ("bomb", "voxels"),
        ("other array", "does not hold the array"),
        ("other labels", "labels outside the scheme"),
        ("other generator", "does not name"),
        ("byte", "a byte is wrong"),
        ("no head", "no cache"),
        ("newer", "update synthaug"),
    ],
)
def test_hostile_content_is_refused_and_nothing_of_it_stays(
    store: Store, api: HubStandIn, tmp_path: Path, what: str, message: str
) -> None:
    push(store, NAME, api=api)
    (tmp_path / "secret").write_text("mine")
    commit = api.put(hostile(api.commits[api.newest], store.names()[0], what, api, tmp_path))
    shutil.rmtree(store.folder)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((StoreError, ValueError), match=message):
        pull(NAME, tmp_path / "pulled", revision=commit, api=api)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "secret").read_text() == "mine"


def test_a_folder_that_holds_something_is_not_pulled_into(store: Store, api: HubStandIn, tmp_path: Path) -> None:
    commit = push(store, NAME, api=api)
    with pytest.raises(StoreError, match="cache merge"):
        pull(NAME, store.folder, revision=commit, api=api)


def test_a_file_that_no_case_has_is_refused_before_anything_is_downloaded(
    store: Store, api: HubStandIn, tmp_path: Path
) -> None:
    push(store, NAME, api=api)
    commit = api.put({**api.commits[api.newest], f"cases/{store.names()[0]}/deeper/image.b2nd": b"x"})
    with pytest.raises(StoreError, match="no file of a case"):
        pull(NAME, tmp_path / "pulled", revision=commit, api=api)
    assert not api.downloaded


def test_on_a_disk_that_is_too_small_nothing_is_made(
    store: Store, api: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = push(store, NAME, api=api)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda place: SimpleNamespace(free=1 << 20))
    with pytest.raises(StoreError, match="choose another disk"):
        pull(NAME, tmp_path / "new" / "pulled", revision=commit, api=api)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("out", [".", "file/pulled", "file/new/pulled"])
def test_a_folder_that_cannot_be_made_is_not_the_hubs_mistake(
    store: Store, api: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    commit = push(store, NAME, api=api)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    if out != ".":
        Path("file").touch()
    with pytest.raises(StoreError, match="path of a new folder" if out == "." else "mend the path"):
        pull(NAME, Path(out), revision=commit, api=api)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), PermissionError(13, "no", "x")])
def test_a_disk_that_refuses_a_download_is_not_the_hubs_mistake(
    store: Store, api: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    commit = push(store, NAME, api=api)

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(api, "snapshot_download", refuse)
    with pytest.raises(StoreError, match="free space"):
        pull(NAME, tmp_path / "pulled", revision=commit, api=api)


@pytest.mark.parametrize("name", ["pairs", "../x/y", "a/b/c", "https://huggingface.co/a/b", "a/"])
def test_a_name_that_is_no_repository_is_refused(store: Store, api: HubStandIn, name: str) -> None:
    with pytest.raises(ConfigurationError, match="OWNER/NAME"):
        push(store, name, api=api)


def test_the_commands_name_the_commit(
    store: Store,
    api: HubStandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def logged_in(*_: Any, **__: Any) -> HubStandIn:
        return api

    monkeypatch.setattr("huggingface_hub.HfApi", logged_in)
    assert run(["cache", "push", str(store.folder), NAME]) == 0
    assert f"--revision {api.newest}" in capsys.readouterr().out
    api.private = False
    assert run(["cache", "push", str(store.folder), NAME]) == 0
    assert "is public" in capsys.readouterr().err
    out = str(tmp_path / "pulled")
    assert run(["cache", "pull", NAME, "--out", out]) == 2
    assert api.newest in capsys.readouterr().err
    assert run(["cache", "pull", NAME, "--revision", api.newest, "--out", out]) == 0
    assert "3 cases" in capsys.readouterr().out
