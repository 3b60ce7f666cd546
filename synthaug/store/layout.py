"""The folders of a store, and its cases' files by size alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from synthaug.errors import StoreError
from synthaug.files.atomic import folder_entries, parse_temporary_name, remove_folder, temporary_name
from synthaug.files.parsed_json import parse_json
from synthaug.store.arrays import digest
from synthaug.store.cache_file import read_bounded
from synthaug.store.case import IMAGE_FILE, LABEL_FILE, MARKER_FILE, PROVENANCE_FILE
from synthaug.store.info import INFO_FILE

FOLDERS = ("cases", "events", "claims", "given-up", "views")
MAX_MARKER_BYTES = 1024
MAX_PROVENANCE_BYTES = 4 << 20


def prepare_folder(folder: Path) -> None:
    """Make the folder of a new store.

    Raises:
        StoreError: it cannot be made, or holds other files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted(e.name for e in folder_entries(folder) if parse_temporary_name(e.name) is None)
    except (FileExistsError, NotADirectoryError):
        raise StoreError(f"{folder}: is a file; a cache is a folder: give another path") from None
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made ({error.strerror}); give a folder that can be written") from None
    if others and INFO_FILE not in others:
        raise StoreError(
            f"{folder}: holds other files ({', '.join(others[:3])}) and is not a cache; give a new or an empty folder"
        )


def misplaced(folder: Path) -> list[Path]:
    """What stands where a store keeps a folder and is none; where anything does, the rest cannot be read."""
    places = [folder / name for name in FOLDERS]
    return [path for path in places if os.path.lexists(path) and (path.is_symlink() or not path.is_dir())]


def misplaced_message(path: Path) -> str:
    """What is wrong with a path that ``misplaced`` found, and how to mend it."""
    if path.is_symlink():
        return f"{path}: is a symbolic link, and a cache keeps its {path.name} in itself; put the folder in its place"
    return (
        f"{path}: is not a folder, and a cache keeps its {path.name} in one; restore it, or remove the file and run "
        "`synthaug precompute` again"
    )


def refuse_misplaced(folder: Path) -> None:
    """Refuse a store that has a file in place of one of its folders.

    Raises:
        StoreError: which, and how to mend it.
    """
    for path in misplaced(folder):
        raise StoreError(misplaced_message(path))


def refuse_linked_case(case: Path) -> None:
    """Refuse a symbolic link in the place of a case: what it leads to is no part of the store.

    Raises:
        StoreError: it is one.
    """
    if case.is_symlink():
        raise StoreError(f"{case}: is a symbolic link; a cache holds regular folders only: copy the case")


def is_whole(case: Path) -> bool:
    """Whether a case's provenance is the one that its marker names and its arrays have the sizes recorded there.

    A look at the sizes is cheap enough for every case; that every byte is right is for ``verify`` to say.

    Args:
        case: folder of a case.

    Raises:
        StoreError: a symbolic link or an oversized file stands in the case's place, which no rerun can mend.
    """
    refuse_linked_case(case)
    try:
        marker = read_bounded(case / MARKER_FILE, MAX_MARKER_BYTES)
        provenance = read_bounded(case / PROVENANCE_FILE, MAX_PROVENANCE_BYTES)
        sizes = {file: (case / file).lstat().st_size for file in (IMAGE_FILE, LABEL_FILE)}
    except (FileNotFoundError, NotADirectoryError):
        return False
    if marker != (digest(provenance) + "\n").encode():
        return False
    try:
        recorded = parse_json(provenance)["files"]
        return all(sizes[file] == recorded[file]["bytes"] for file in sizes)
    except (ValueError, LookupError, TypeError):
        return False


def leftovers(folder: Path, stored: Collection[str]) -> list[Path]:
    """Temporary files and folders of a store that no living process needs.

    Args:
        folder: of the store.
        stored: names of its complete cases.
    """
    found = []
    for place in (folder, folder / "cases", folder / "given-up"):
        for entry in folder_entries(place):
            parsed = parse_temporary_name(entry.name)
            if parsed is None:
                continue
            name, writer = parsed
            alive = writer.is_alive() if writer is not None else False
            # of a process on another machine only this is known: a folder for a case that is stored is useless
            if alive is False or (alive is None and name in stored):
                found.append(place / entry.name)
    return found


def remove_case(case: Path) -> None:
    """Remove a case: it disappears by one rename, and then loses its marker first, so that no reader meets half.

    Raises:
        StoreError: a symbolic link stands in its place.
        OSError: the disk refuses.
    """
    refuse_linked_case(case)
    aside = case.with_name(temporary_name(case.name))
    try:
        os.rename(case, aside)
    except FileNotFoundError:
        return
    with contextlib.suppress(OSError):
        os.unlink(aside / MARKER_FILE)
    remove_folder(aside)
