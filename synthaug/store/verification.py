"""Looking at every byte of a store."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.errors import StoreError
from synthaug.files.atomic import folder_entries, parse_temporary_name
from synthaug.labels import LabelScheme, Structure
from synthaug.store.cache_file import read_bounded
from synthaug.store.case import CASE_FILES, IMAGE_FILE, LABEL_FILE, MARKER_FILE, CaseEntry, Problem
from synthaug.store.events import parse_sealed_line
from synthaug.store.info import INFO_FILE, StoreInfo
from synthaug.store.layout import MAX_PROVENANCE_BYTES, misplaced, misplaced_message
from synthaug.store.views import stale

if TYPE_CHECKING:
    from synthaug.store.store import Store

LEFTOVER = "leftover"
"""Kind of what a process that is gone left behind: no byte of a case is wrong, and the next run clears it away."""
DUPLICATE = "duplicate"
"""Kind of a case with the arrays of another one: odd, but no byte of it is wrong."""
MAY_STAY = (LEFTOVER, DUPLICATE)

_NO_HEAD = StoreInfo(LabelScheme("unknown", (Structure("unknown", 1),)), (), "unknown", "unknown")


def verify_folder(folder: Path) -> list[Problem]:
    """``verify`` for a folder that cannot be opened as a store where its head is damaged.

    Raises:
        StoreError: the folder is no store at all.
    """
    from synthaug.store.store import Store

    if not os.path.lexists(folder / INFO_FILE):
        StoreInfo.read(folder)
    return verify(Store(folder, _NO_HEAD))  # of the head nothing but its file is looked at


def count_cases(folder: Path) -> int:
    """How many complete cases a folder holds, whatever else is wrong with it."""
    from synthaug.store.store import Store

    return 0 if misplaced(folder) else len(Store(folder, _NO_HEAD))


def verify(store: Store, *, progress: Callable[[int, int], None] | None = None) -> list[Problem]:
    """Find every damaged, missing, foreign or left-over file.

    Args:
        store: may be written to by other processes meanwhile: what they are writing is not reported.
        progress: called with (cases looked at, all cases).

    Returns:
        The problems, by case; empty where the store is sound.
    """
    head, problems = _head(store)
    in_the_way = misplaced(store.folder)
    if in_the_way:
        return problems + [Problem("", path.name, misplaced_message(path)) for path in in_the_way]
    # first, so that what is being written meanwhile is there when the folders are looked at
    stored = _stored(store)
    array_digests: dict[str, list[str]] = defaultdict(list)
    folders = sorted(e.name for e in folder_entries(store.folder / "cases") if parse_temporary_name(e.name) is None)
    for number, name in enumerate(folders, start=1):
        problems += _case(store, name, head, array_digests)
        if progress is not None:
            progress(number, len(folders))
    mend = "was stored and is missing now; run the same `synthaug precompute` again to have it made anew"
    problems += [Problem(name, f"cases/{name}", mend, "missing") for name in sorted(stored - set(folders))]
    for names in array_digests.values():
        problems += [
            Problem(name, f"cases/{name}", f"holds the same arrays as {names[0]}; remove one of them", DUPLICATE)
            for name in names[1:]
        ]
    problems += _events(store)
    for path in store.leftovers():
        relative = str(path.relative_to(store.folder))
        message = "was left by a process that is gone; `synthaug precompute` removes it at its end"
        problems.append(Problem("", relative, message, LEFTOVER))
    for view, name in stale(store.folder, folders):
        relative = str(view.relative_to(store.folder) / "cases" / name)
        message = "was derived from a case that is gone; the next training on this view removes it"
        problems.append(Problem("", relative, message, LEFTOVER))
    return problems


def _head(store: Store) -> tuple[StoreInfo | None, list[Problem]]:
    try:
        return StoreInfo.read(store.folder), []
    except StoreError as error:
        return None, [Problem("", "cache.json", str(error))]


def _stored(store: Store) -> set[str]:
    """The cases that ought to be there: those that were stored and, as far as can be told, not removed since.

    The events of one process have an order, those of several have none among them, and a case may be stored more often
    than it is removed (one that is damaged is made again). So a case ought to be there where each process that tells of
    it stored it last; where one removed it last, that may have been the end of it.
    """
    stored: set[str] = set()
    removed: set[str] = set()
    for events in store.events.read_by_process().values():
        last = {str(event.get("name")): event["event"] for event in events if event["event"] in ("stored", "removed")}
        stored |= {name for name, kind in last.items() if kind == "stored"}
        removed |= {name for name, kind in last.items() if kind == "removed"}
    return stored - removed


def _foreign(described: Mapping[str, Any], head: StoreInfo) -> str | None:
    """What a case's provenance says against the head of its store."""
    made_by = described["pair"].get("generator_sha256")
    if made_by not in head.fingerprints:
        return f"was made by a generator of sha256 {str(made_by)[:12]}, which {INFO_FILE} does not name"
    if described["scheme"] != head.scheme.name or tuple(described["channels"]) != head.channels:
        return (
            f"has label scheme {described['scheme']} and channels {', '.join(described['channels'])}, the cache others"
        )
    return None


def _case(store: Store, name: str, head: StoreInfo | None, array_digests: dict[str, list[str]]) -> list[Problem]:
    folder = store.folder / "cases" / name
    relative = f"cases/{name}"
    if not stat.S_ISDIR(folder.lstat().st_mode):
        return [Problem(name, relative, "is not a folder of a case; remove it", "orphan")]
    if not (folder / MARKER_FILE).exists():
        mend = (
            f"{MARKER_FILE} is missing, the case is incomplete; remove the folder and run `synthaug precompute` again"
        )
        return [Problem(name, relative, mend, "incomplete")]
    problems = [
        Problem(name, f"{relative}/{entry.name}", "does not belong to a case; remove it", "orphan")
        for entry in folder_entries(folder)
        if entry.name not in CASE_FILES
    ]
    try:
        described = store.provenance(name)
        CaseEntry.from_dict(described)
        key = " ".join(described["files"][file]["array_sha256"] for file in (IMAGE_FILE, LABEL_FILE))
        foreign = _foreign(described, head) if head is not None else None
    except (StoreError, KeyError, ValueError, TypeError, AttributeError) as error:
        return [*problems, Problem(name, relative, str(error))]
    if foreign is not None:
        problems.append(Problem(name, relative, f"{foreign}; remove it", "foreign"))
    for file in (IMAGE_FILE, LABEL_FILE):
        try:
            store.array_file(name, file, described)
        except StoreError as error:
            problems.append(Problem(name, f"{relative}/{file}", str(error)))
    array_digests[key].append(name)
    return problems


def _events(store: Store) -> list[Problem]:
    message = "line {} is not what was written; the event is ignored, the cases do not depend on it"
    problems = [Problem("", f"events/{file}", message.format(number)) for file, number in store.events.damaged_lines()]
    for entry in folder_entries(store.folder / "given-up"):
        if parse_temporary_name(entry.name) is not None:
            continue
        found = "is not what was written"
        try:
            if _is_sealed(read_bounded(store.folder / "given-up" / entry.name, MAX_PROVENANCE_BYTES)):
                continue
        except FileNotFoundError:
            continue  # its case was made meanwhile
        except (StoreError, OSError) as error:
            found = f"cannot be read ({error})"
        name = entry.name.removesuffix(".json")
        problems.append(Problem(name, f"given-up/{entry.name}", f"{found}; remove it, the request is then tried again"))
    return problems


def _is_sealed(content: bytes) -> bool:
    text = content.decode("utf-8", "replace")
    return text.endswith("\n") and parse_sealed_line(text[:-1]) is not None
