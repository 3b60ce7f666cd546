"""Taking the cases of other stores into one."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.errors import StoreError
from synthaug.files.atomic import publish_folder, remove_folder, sync_folder, temporary_name, write_synced
from synthaug.store.cache_file import read_bounded
from synthaug.store.case import IMAGE_FILE, LABEL_FILE, MARKER_FILE, PROVENANCE_FILE, CaseEntry
from synthaug.store.info import StoreInfo
from synthaug.store.layout import MAX_MARKER_BYTES, MAX_PROVENANCE_BYTES
from synthaug.store.store import Store

_HEAD_CLAIM = "cache.json"
"""No case has a name with a dot."""
_POLL_S = 0.1


@dataclass(frozen=True)
class Merged:
    """What came of a merge.

    Attributes:
        added: cases that were taken in.
        present: cases that the target had already, under the same name.
        duplicates: name of each case left out because the target holds the same arrays, and under which name.
        damaged: cases that were left out because a byte of them is wrong, with what is.
        remaining: cases of the target now.
    """

    added: tuple[str, ...]
    present: int
    duplicates: dict[str, str]
    damaged: dict[str, str]
    remaining: int


def merge(
    target: Store, sources: Sequence[Store], *, link: bool = True, progress: Callable[[int, int], None] | None = None
) -> Merged:
    """Take in the cases that the target lacks; the sources are only read.

    The head comes first: it names all generators, and what each was fitted on, before a case of theirs is there. Then
    each case appears by one rename, as it does when it is made; a run that is interrupted goes on when it is called
    again. Every byte of a case is checked on the way.

    Args:
        target: may be added to by other processes meanwhile.
        sources: stores of the same label scheme and channels.
        link: hard links to the files of the sources, where the file system has them; copies elsewhere.
        progress: called with (cases looked at, all cases).

    Returns:
        What was taken in, and what was left out.

    Raises:
        StoreError: another scheme or other channels, the same store twice, or the disk refuses; nothing has been
            changed where stores do not fit each other.
    """
    for source in sources:
        if os.path.samefile(source.folder, target.folder):
            raise StoreError(f"{source.folder}: is the cache that is merged into; name other caches")
    _united_head(target, sources)  # stores that do not fit each other are refused before anything is written
    work = [(source, name) for source in sources for name in source.names()]
    added: list[str] = []
    present = 0
    duplicates: dict[str, str] = {}
    damaged: dict[str, str] = {}
    try:
        _take_makers(target, sources)
        held = _names_by_arrays(target)
        for number, (source, name) in enumerate(work, start=1):
            if name in target and target.is_whole(name):
                present += 1
            else:
                try:
                    case = _Case.read(source, name)
                except (StoreError, KeyError, TypeError, ValueError, AttributeError) as error:
                    damaged[name] = str(error)
                else:
                    same = held.get(case.arrays)
                    if same is not None and same != name:
                        duplicates[name] = same
                    elif case.put_into(target, link=link):
                        held[case.arrays] = name
                        added.append(name)
                    else:
                        present += 1
            if progress is not None:
                progress(number, len(work))
        for source in sources:
            _take_rejects(target, source, set(target.names()))
    except OSError as error:
        raise StoreError(
            f"{target.folder}: cannot be written ({error.strerror or error}); free space or mend the permissions and "
            f"run it again: {len(added)} cases were taken in, what was there is intact"
        ) from None
    return Merged(tuple(added), present, duplicates, damaged, len(target))


def _united_head(target: Store, sources: Sequence[Store]) -> StoreInfo:
    """The target's head as it is now, with what the sources' cases were made with."""
    head = StoreInfo.read(target.folder)
    for source in sources:
        head = head.with_cases_of(source.info, target.folder, source.folder)
    return head


def _take_makers(target: Store, sources: Sequence[Store]) -> None:
    """Write the united head; two merges at once do so one after the other, so that neither loses what the other wrote.

    Raises:
        StoreError: another process holds the head for longer than a claim lasts.
    """
    if _united_head(target, sources) == (now := StoreInfo.read(target.folder)):
        target.info = now
        return
    claims, pause = target.claims(), threading.Event()
    last = time.monotonic() + 2 * claims.expiry_s
    with claims.kept_alive():
        while not claims.take(_HEAD_CLAIM):
            if time.monotonic() > last:
                raise StoreError(f"{target.folder}: its head is held by another merge; run it again when that is done")
            pause.wait(_POLL_S)
        head = _united_head(target, sources)
        head.write(target.folder)
        target.info = head


@dataclass(frozen=True)
class _Case:
    """A case of a source, every byte checked."""

    folder: Path
    entry: CaseEntry
    arrays: tuple[str, str]
    seconds: Any
    contents: dict[str, bytes]

    @classmethod
    def read(cls, store: Store, name: str) -> _Case:
        described = store.provenance(name)
        folder = store.folder / "cases" / name
        contents = {file: store.array_file(name, file, described) for file in (IMAGE_FILE, LABEL_FILE)}
        contents[PROVENANCE_FILE] = read_bounded(folder / PROVENANCE_FILE, MAX_PROVENANCE_BYTES)
        contents[MARKER_FILE] = read_bounded(folder / MARKER_FILE, MAX_MARKER_BYTES)
        seconds = described["pair"].get("seconds")
        return cls(folder, CaseEntry.from_dict(described), _arrays(described), seconds, contents)

    def put_into(self, store: Store, *, link: bool) -> bool:
        """Put it into its place; False where another process was faster."""
        name, cases = self.entry.name, store.folder / "cases"
        cases.mkdir(exist_ok=True)
        temporary = cases / temporary_name(name)
        temporary.mkdir()
        try:
            for file, content in self.contents.items():  # the marker is the last
                if not (link and _linked(self.folder / file, temporary / file)):
                    write_synced(temporary / file, content)
            sync_folder(temporary)
            store.remove_damaged(name)
            if publish_folder(temporary, cases / name):
                store.events.write("stored", **self.entry.to_dict(), seconds=self.seconds)
                return True
        except BaseException:
            remove_folder(temporary)
            raise
        remove_folder(temporary)
        return False


def _names_by_arrays(store: Store) -> dict[tuple[str, str], str]:
    """Cases of a store by the digests of their arrays; those that cannot be read are left to ``verify``."""
    found = {}
    for name in store.names():
        with contextlib.suppress(StoreError, KeyError, TypeError):
            found[_arrays(store.provenance(name))] = name
    return found


def _arrays(described: Mapping[str, Any]) -> tuple[str, str]:
    files = described["files"]
    return files[IMAGE_FILE]["array_sha256"], files[LABEL_FILE]["array_sha256"]


def _linked(path: Path, place: Path) -> bool:
    try:
        os.link(path, place, follow_symlinks=False)
    except OSError:  # another disk, or a file system without hard links
        return False
    return True


def _take_rejects(target: Store, source: Store, names: set[str]) -> None:
    """What was rejected on the way to the cases, so that counts go with them."""

    def rejected(store: Store) -> dict[tuple[Any, Any], dict[str, Any]]:
        events = (event for event in store.events.read() if event["event"] == "rejected" and event.get("name") in names)
        return {(event.get("name"), event.get("seed")): event for event in events}

    known = rejected(target)
    for key, event in rejected(source).items():
        if key not in known:
            target.events.write(**event)
