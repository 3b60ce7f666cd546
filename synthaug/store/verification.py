"""Looking at every byte of a store."""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.errors import StoreError
from synthaug.files.atomic import folder_entries, parse_temporary_name
from synthaug.labels import LabelScheme, Structure
from synthaug.store.bounded_reading import read_bounded
from synthaug.store.case import CASE_FILES, IMAGE_FILE, LABEL_FILE, MARKER_FILE, CaseEntry, Problem
from synthaug.store.events import parse_sealed_line
from synthaug.store.info import INFO_FILE, StoreInfo
from synthaug.store.layout import misplaced, misplaced_message

if TYPE_CHECKING:
    from synthaug.store.store import Store

MAX_RECORD_BYTES = 4 << 20
LEFTOVER = "leftover"
"""Kind of what a process that is gone left behind: no byte of a case is wrong, and the next run clears it away."""

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
    problems = _head(store)
    in_the_way = misplaced(store.folder)
    if in_the_way:
        return problems + [Problem("", path.name, misplaced_message(path)) for path in in_the_way]
    # first, so that what is being written meanwhile is there when the folders are looked at
    there: Counter[str] = Counter()  # a case that was removed may have been stored again
    for event in store.events.read():
        there[str(event.get("name"))] += {"stored": 1, "removed": -1}.get(event["event"], 0)
    stored = {name for name, count in there.items() if count > 0}
    array_digests: dict[str, list[str]] = defaultdict(list)
    folders = sorted(e.name for e in folder_entries(store.folder / "cases") if parse_temporary_name(e.name) is None)
    for number, name in enumerate(folders, start=1):
        problems += _case(store, name, array_digests)
        if progress is not None:
            progress(number, len(folders))
    mend = "was stored and is missing now; run the same `synthaug precompute` again to have it made anew"
    problems += [Problem(name, f"cases/{name}", mend, "missing") for name in sorted(stored - set(folders))]
    for names in array_digests.values():
        problems += [
            Problem(name, f"cases/{name}", f"holds the same arrays as {names[0]}; remove one of them", "duplicate")
            for name in names[1:]
        ]
    problems += _events(store)
    for path in store.leftovers():
        relative = str(path.relative_to(store.folder))
        message = "was left by a process that is gone; `synthaug precompute` removes it at its end"
        problems.append(Problem("", relative, message, LEFTOVER))
    return problems


def _head(store: Store) -> list[Problem]:
    try:
        StoreInfo.read(store.folder)
    except StoreError as error:
        return [Problem("", "cache.json", str(error))]
    return []


def _case(store: Store, name: str, array_digests: dict[str, list[str]]) -> list[Problem]:
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
    except (StoreError, KeyError, ValueError, TypeError) as error:
        return [*problems, Problem(name, relative, str(error))]
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
            if _is_sealed(read_bounded(store.folder / "given-up" / entry.name, MAX_RECORD_BYTES)):
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
