"""A store as NIfTI files in the layout of a BIDS derivative."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from synthaug.errors import StoreError
from synthaug.files.atomic import folder_entries, parse_temporary_name, remove_folder, replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.labels import LabelScheme
from synthaug.store.bounded_reading import read_bounded
from synthaug.store.store import Store
from synthaug.volumes import write_image, write_label

BIDS_VERSION = "1.10.0"
SUFFIXES = {"t1": "T1w", "t1w": "T1w", "t2": "T2w", "t2w": "T2w", "flair": "FLAIR", "pd": "PDw", "ct": "ct"}
"""BIDS suffix of a channel; other channels keep their own letters and digits."""

DESCRIPTION_FILE = "dataset_description.json"
MAX_DESCRIPTION_BYTES = 1 << 20


def export_nifti(store: Store, folder: Path, *, progress: Callable[[int, int], None] | None = None) -> int:
    """Write every case of a store.

    ``sub-NAME/anat/sub-NAME_desc-synthetic_T1w.nii.gz`` (with its provenance beside it in JSON) and
    ``..._dseg.nii.gz`` for each case, with the true affine; once ``dataset_description.json``, ``labels.json``
    (structures and groups), ``dseg.tsv`` (the same labels as BIDS has them) and ``participants.tsv`` (volumes in mL).

    Args:
        store: is only read; every array is checked against its digest.
        folder: new, empty, or an earlier export of the same generator's cases: its files are replaced, and the
            folders of cases that the store no longer has are removed.
        progress: called with (cases written, all cases).

    Returns:
        How many cases were written.

    Raises:
        StoreError: the folder holds something else, of which nothing is changed, or a case is damaged (its name is in
            the message).
    """
    names = store.names()
    for subject in _prepare(store, names, folder):
        remove_folder(folder / subject)
    _write_text(folder / DESCRIPTION_FILE, canonical_json(_description(store)))
    _write_text(folder / "labels.json", canonical_json(scheme_labels(store.info.scheme)))
    _write_text(folder / "dseg.tsv", _table([("index", "name"), *_label_rows(store.info.scheme)]))
    _write_text(folder / "participants.tsv", _table(_participants(store)))
    for number, name in enumerate(names, start=1):
        _case(store, name, folder)
        if progress is not None:
            progress(number, len(names))
    return len(names)


def scheme_labels(scheme: LabelScheme) -> dict[str, Any]:
    """``{"structures": {name: id}, "groups": {group: [names]}}``."""
    return {
        "structures": {name: scheme.id_of(name) for name in scheme.names},
        "groups": {group: list(names) for group, names in scheme.groups.items()},
    }


def _case(store: Store, name: str, folder: Path) -> None:
    pair = store.read(name)
    subject = _subject(name)
    anatomy = folder / subject / "anat"
    anatomy.mkdir(parents=True, exist_ok=True)
    stem = f"{subject}_desc-synthetic"
    write_label(anatomy / f"{stem}_dseg.nii.gz", pair.label, pair.affine)
    for channel, image in zip(pair.channels, pair.image, strict=True):
        suffix = SUFFIXES.get(channel.lower()) or re.sub("[^A-Za-z0-9]", "", channel) or "image"
        write_image(anatomy / f"{stem}_{suffix}.nii.gz", image[None], pair.affine)
        sidecar = {"Synthetic": True, "Channel": channel, "Provenance": store.provenance(name)}
        _write_text(anatomy / f"{stem}_{suffix}.json", canonical_json(sidecar))


def _description(store: Store) -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        own_version = version("synthaug")
    except PackageNotFoundError:
        own_version = "unknown"
    return {
        "Name": f"Synthetic pairs of {store.info.generator}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {"Name": "synthaug", "Version": own_version},
            {"Name": store.info.generator, "Version": store.info.fingerprint},
        ],
    }


def _label_rows(scheme: LabelScheme) -> list[tuple[str, str]]:
    return [("0", "background"), *((str(scheme.id_of(name)), name) for name in scheme.names)]


def _participants(store: Store) -> list[tuple[str, ...]]:
    groups = sorted(store.info.scheme.groups)
    rows: list[tuple[str, ...]] = [("participant_id", "seed", *(f"{group}_ml" for group in groups))]
    for entry in store.entries():
        volumes = (f"{entry.realised_ml.get(group, float('nan')):.3f}" for group in groups)
        rows.append((_subject(entry.name), str(entry.seed), *volumes))
    return rows


def _table(rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write_text(path: Path, text: str) -> None:
    replace_file(path, (text.rstrip("\n") + "\n").encode())


def _subject(name: str) -> str:
    return "sub-" + re.sub("[^A-Za-z0-9]", "", name)


def _prepare(store: Store, names: Sequence[str], folder: Path) -> list[str]:
    """Make the folder, or make sure that it is an export of this generator's cases.

    Returns:
        Folders of earlier exported cases that the store does not have.

    Raises:
        StoreError: it holds something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StoreError(f"{folder}: is a file; give a folder to export to") from None
    others = sorted(entry.name for entry in folder_entries(folder) if parse_temporary_name(entry.name) is None)
    if not others:
        return []
    if DESCRIPTION_FILE not in others:
        raise StoreError(f"{folder}: holds other files ({', '.join(others[:3])}); give a new or an empty folder")
    makers = _makers(folder / DESCRIPTION_FILE)
    if makers is None:
        raise StoreError(
            f"{folder}: is a data set that `synthaug cache export` did not make (see its {DESCRIPTION_FILE}); "
            "give a new or an empty folder"
        )
    if makers[1] != store.info.fingerprint:
        raise StoreError(
            f"{folder}: is an export of another generator (weights {makers[1][:12]}, those of {store.folder} are "
            f"{store.info.fingerprint[:12]}); give a new or an empty folder"
        )
    subjects = {_subject(name) for name in names}
    stale = [name for name in others if name.startswith("sub-") and name not in subjects]
    foreign = [name for name in stale if not _is_exported_case(folder / name)]
    if foreign:
        raise StoreError(
            f"{folder}: holds {', '.join(foreign[:3])}, which `synthaug cache export` did not make; "
            "move it elsewhere, or give a new or an empty folder"
        )
    return stale


def _makers(description: Path) -> tuple[str, str] | None:
    """Name of the program that made a data set, and version of its generator; None where it was not synthaug."""
    try:
        makers = json.loads(read_bounded(description, MAX_DESCRIPTION_BYTES))["GeneratedBy"]
        found = (makers[0]["Name"], str(makers[1]["Version"]))
    except (StoreError, OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if found[0] == "synthaug" else None


def _is_exported_case(subject: Path) -> bool:
    """Whether a folder holds exported files and nothing else, so that no work of the user's goes with it."""
    if subject.is_symlink() or not subject.is_dir():
        return False
    anatomy = subject / "anat"
    if anatomy.is_symlink() or any(entry.name != "anat" for entry in folder_entries(subject)):
        return False
    return anatomy.is_dir() and all(
        entry.name.startswith(f"{subject.name}_desc-synthetic_") or parse_temporary_name(entry.name) is not None
        for entry in folder_entries(anatomy)
    )
