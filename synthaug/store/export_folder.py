"""The folder of an export: a new one, or one that an export of the same generators' cases began."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from synthaug.errors import StoreError
from synthaug.files.atomic import folder_entries, parse_temporary_name, replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.files.json_object import read_json_object
from synthaug.store.store import Store

RECORD_FILE = "synthaug_export.json"
"""Written before any case, so that an interrupted export is known again."""
FIRST_FORM = "nnunet"
"""Of records that name none: earlier ones."""
NEW_FOLDER = "give a new or an empty folder"

Makers = Callable[[Path], Collection[str] | None]


def export_record(store: Store, form: str, **facts: Any) -> dict[str, Any]:
    """What is recorded of an export: its form, the generators, and what its files depend on."""
    return {"format": form, "generators": [maker.to_dict() for maker in store.info.makers], **facts}


def prepare_export(
    store: Store, folder: Path, record: Mapping[str, Any], *, same: Collection[str] = (), makers: Makers | None = None
) -> list[str]:
    """Make the folder of an export, or make sure that it is an earlier one of this store's generators.

    Args:
        store: whose cases are exported.
        folder: to export to.
        record: from ``export_record``.
        same: keys of it that must not have changed.
        makers: sha256 of the generators of an export that has no record; None where it is no export.

    Returns:
        Names of what is in it but for temporary files, sorted; empty where it is new.

    Raises:
        StoreError: it lies within the store, or holds something else.
    """
    if folder.resolve().is_relative_to(store.folder.resolve()):
        raise StoreError(f"{folder}: lies within the cache {store.folder}; give a folder outside of it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StoreError(f"{folder}: is a file; give a folder to export to") from None
    present = sorted(entry.name for entry in folder_entries(folder) if parse_temporary_name(entry.name) is None)
    if not present:
        return []
    if RECORD_FILE in present:
        made_by = _recorded_makers(folder, record, same)
    else:
        found = None if makers is None else makers(folder)
        if found is None:
            refuse_foreign(folder, present)
        made_by = set(found or ())
    others = sorted(made_by - store.info.fingerprints)
    if others:
        raise StoreError(
            f"{folder}: is an export of another generator (weights {others[0][:12]}, those of {store.folder} are "
            f"{store.info.fingerprint[:12]}); {NEW_FOLDER}"
        )
    return present


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Say what is exported to a folder."""
    replace_file(folder / RECORD_FILE, (canonical_json(record) + "\n").encode())


def refuse_foreign(folder: Path, names: Collection[str]) -> None:
    """Refuse what no export wrote.

    Raises:
        StoreError: names the first few.
    """
    if names:
        raise StoreError(
            f"{folder}: holds {', '.join(sorted(names)[:3])}, which `synthaug cache export` did not write; move it "
            f"elsewhere, or {NEW_FOLDER}"
        )


def refuse_links(folder: Path, places: Collection[str]) -> None:
    """Refuse folders of an export that are symbolic links: files behind them are somebody else's.

    Raises:
        StoreError: names the first.
    """
    for place in sorted(places):
        if (folder / place).is_symlink():
            raise StoreError(
                f"{folder / place}: is a symbolic link, and an export writes into its own folder alone; remove the "
                f"link, or {NEW_FOLDER}"
            )


def _recorded_makers(folder: Path, record: Mapping[str, Any], same: Collection[str]) -> set[str]:
    """sha256 of the generators that a record names.

    Raises:
        StoreError: it is damaged, or of another export.
    """
    before = read_json_object(folder / RECORD_FILE, error=StoreError, mend=NEW_FOLDER)
    form = before.get("format", FIRST_FORM)
    if form != record["format"]:
        raise StoreError(f"{folder}: is an export in the form {form!r}, not {record['format']!r}; {NEW_FOLDER}")
    changed = [key for key in same if before.get(key) != record[key]]
    if changed:
        raise StoreError(f"{folder}: is an export with other {' and '.join(changed)}; {NEW_FOLDER}")
    try:
        return {str(maker["sha256"]) for maker in before["generators"]}
    except (KeyError, TypeError):
        raise StoreError(f"{folder / RECORD_FILE}: names no generators; {NEW_FOLDER}") from None
