"""A store as NIfTI files in the layout of a BIDS derivative."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthaug.errors import StoreError
from synthaug.files.atomic import folder_entries, replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.labels import LabelScheme
from synthaug.store.store import Store
from synthaug.volumes import write_image, write_label

BIDS_VERSION = "1.10.0"
SUFFIXES = {"t1": "T1w", "t1w": "T1w", "t2": "T2w", "t2w": "T2w", "flair": "FLAIR", "pd": "PDw", "ct": "ct"}
"""BIDS suffix of a channel; other channels keep their own letters and digits."""


def export_nifti(store: Store, folder: Path, *, progress: Callable[[int, int], None] | None = None) -> int:
    """Write every case of a store.

    ``sub-NAME/anat/sub-NAME_desc-synthetic_T1w.nii.gz`` (with its provenance beside it in JSON) and
    ``..._dseg.nii.gz`` for each case, with the true affine; once ``dataset_description.json``, ``labels.json``
    (structures and groups), ``dseg.tsv`` (the same labels as BIDS has them) and ``participants.tsv`` (volumes in mL).

    Args:
        store: is only read; every array is checked against its digest.
        folder: new, empty, or an earlier export, whose files are replaced.
        progress: called with (cases written, all cases).

    Returns:
        How many cases were written.

    Raises:
        StoreError: the folder holds something else, or a case is damaged (its name is in the message).
    """
    names = store.names()
    _prepare(folder)
    _write_text(folder / "dataset_description.json", canonical_json(_description(store)))
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
    subject = "sub-" + re.sub("[^A-Za-z0-9]", "", name)
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
        rows.append(("sub-" + re.sub("[^A-Za-z0-9]", "", entry.name), str(entry.seed), *volumes))
    return rows


def _table(rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write_text(path: Path, text: str) -> None:
    replace_file(path, (text.rstrip("\n") + "\n").encode())


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StoreError(f"{folder}: is a file; give a folder to export to") from None
    others = [entry.name for entry in folder_entries(folder)]
    if others and "dataset_description.json" not in others:
        raise StoreError(
            f"{folder}: holds other files ({', '.join(sorted(others)[:3])}); give a new or an empty folder"
        )
