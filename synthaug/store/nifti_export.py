"""A store as NIfTI files in the layout of a BIDS derivative."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthaug.errors import StoreError
from synthaug.files.atomic import folder_entries, parse_temporary_name, remove_folder, replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.files.parsed_json import parse_json
from synthaug.labels import LabelScheme
from synthaug.store.cache_file import read_bounded
from synthaug.store.export_folder import (
    RECORD_FILE,
    export_record,
    prepare_export,
    refuse_foreign,
    refuse_links,
    write_record,
)
from synthaug.store.store import Store
from synthaug.volumes import write_image, write_label

BIDS_VERSION = "1.10.0"
SUFFIXES = {"t1": "T1w", "t1w": "T1w", "t2": "T2w", "t2w": "T2w", "flair": "FLAIR", "pd": "PDw", "pdw": "PDw"}
"""BIDS suffix of a channel; other channels (CT, which BIDS does not have) keep their own letters and digits."""

ENTITIES = "space-orig_desc-synthetic"
EARLIER_ENTITIES = ("desc-synthetic",)
"""Between subject and suffix: each pair lies in a space of its own. Earlier exports had no space."""

FORM = "nifti"
DESCRIPTION_FILE, PARTICIPANTS_FILE = "dataset_description.json", "participants.tsv"
MAX_DESCRIPTION_BYTES = 1 << 20


def export_nifti(store: Store, folder: Path, *, progress: Callable[[int, int], None] | None = None) -> int:
    """Write every case of a store.

    ``sub-NAME/anat/sub-NAME_space-orig_desc-synthetic_T1w.nii.gz`` (with its provenance beside it in JSON) and
    ``..._dseg.nii.gz`` for each case, with the true affine; once ``README.md``, ``labels.json`` (structures and
    groups), ``dseg.tsv`` (the same labels as BIDS has them) and ``.bidsignore`` (what BIDS has no name for). First of
    all comes ``synthaug_export.json``, by which an interrupted export goes on: files that it has written are kept
    where they hold what they should. ``participants.tsv`` (volumes in mL) and ``dataset_description.json`` come last:
    until they are there, it is no data set.

    Args:
        store: is only read; every array is checked against its digest.
        folder: new, empty, or an earlier export of the same generator's cases: files that differ are replaced, and
            the folders of cases that the store no longer has are removed.
        progress: called with (cases written, all cases).

    Returns:
        How many cases were written.

    Raises:
        StoreError: the folder lies within the store or holds something else, of which nothing is changed, or a case is
            damaged (its name is in the message).
    """
    names = store.names()
    record = export_record(store, FORM)
    stale = _prepare(store, names, folder, record)
    write_record(folder, record)
    for file in (DESCRIPTION_FILE, PARTICIPANTS_FILE):
        (folder / file).unlink(missing_ok=True)
    for subject in stale:
        remove_folder(folder / subject)
    _write_text(folder / "README.md", _readme(store))
    _write_text(folder / ".bidsignore", "\n".join([RECORD_FILE, "labels.json", *_unknown_to_bids(store)]))
    _write_text(folder / "labels.json", canonical_json(store.info.scheme.structures_and_groups()))
    _write_text(folder / "dseg.tsv", _table([("index", "name"), *_label_rows(store.info.scheme)]))
    _write_text(folder / "participants.json", canonical_json(_columns(store)))
    for number, name in enumerate(names, start=1):
        _case(store, name, folder)
        if progress is not None:
            progress(number, len(names))
    _write_text(folder / PARTICIPANTS_FILE, _table(_participants(store, names)))
    _write_text(folder / DESCRIPTION_FILE, canonical_json(_description(store)))
    return len(names)


def _case(store: Store, name: str, folder: Path) -> None:
    pair = store.read(name)
    subject = _subject(name)
    anatomy = folder / subject / "anat"
    anatomy.mkdir(parents=True, exist_ok=True)
    stem = f"{subject}_{ENTITIES}"
    described = store.provenance(name)
    write_label(anatomy / f"{stem}_dseg.nii.gz", pair.label, pair.affine, keep_equal=True)
    _write_text(anatomy / f"{stem}_dseg.json", canonical_json({"SpatialReference": "orig", "Synthetic": True}))
    for channel, image in zip(pair.channels, pair.image, strict=True):
        suffix = _suffix(channel)
        write_image(anatomy / f"{stem}_{suffix}.nii.gz", image[None], pair.affine, keep_equal=True)
        sidecar = {
            "SpatialReference": "orig",
            "SkullStripped": not bool(image[pair.label == 0].any()),  # nothing outside what is labelled
            "Synthetic": True,
            "Channel": channel,
            "Provenance": described,
        }
        _write_text(anatomy / f"{stem}_{suffix}.json", canonical_json(sidecar))
    for entry in list(folder_entries(anatomy)):
        if any(entry.name.startswith(f"{subject}_{earlier}_") for earlier in EARLIER_ENTITIES):
            (anatomy / entry.name).unlink()


def _suffix(channel: str) -> str:
    return SUFFIXES.get(channel.lower()) or re.sub("[^A-Za-z0-9]", "", channel) or "image"


def _unknown_to_bids(store: Store) -> list[str]:
    known = set(SUFFIXES.values())
    return [f"*_{suffix}.*" for suffix in map(_suffix, store.info.channels) if suffix not in known]


def _readme(store: Store) -> str:
    made_by = ", ".join(str(maker) for maker in store.info.makers)
    licences = ", ".join(dict.fromkeys(maker.licence or "not stated" for maker in store.info.makers))
    return (
        f"# Synthetic pairs of {store.info.generator}\n\nImages and label maps that were made, not scanned: no subject "
        f"is a person. Made by synthaug with {made_by}; licence of the weights: {licences}.\n\n"
        "`dseg.tsv` says what the labels mean, `participants.tsv` has volumes in mL."
    )


def _columns(store: Store) -> dict[str, Any]:
    described = {f"{group}_ml": f"volume of {group} in the label map" for group in sorted(store.info.scheme.groups)}
    volumes = {name: {"Description": text, "Units": "mL"} for name, text in described.items()}
    return {"seed": {"Description": "seed that the generator was called with"}, **volumes}


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
            *({"Name": maker.name, "Version": maker.fingerprint} for maker in store.info.makers),
        ],
    }


def _label_rows(scheme: LabelScheme) -> list[tuple[str, str]]:
    return [("0", "background"), *((str(scheme.id_of(name)), name) for name in scheme.names)]


def _participants(store: Store, names: Collection[str]) -> list[tuple[str, ...]]:
    groups = sorted(store.info.scheme.groups)
    rows: list[tuple[str, ...]] = [("participant_id", "seed", *(f"{group}_ml" for group in groups))]
    exported = set(names)  # others may have come meanwhile
    for entry in (one for one in store.entries() if one.name in exported):
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


def _prepare(store: Store, names: Sequence[str], folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Make the folder, or make sure that it is an export of this generator's cases.

    Returns:
        Folders of earlier exported cases that the store does not have.

    Raises:
        StoreError: it holds something else, lies within the store, or would have two cases in one place.
    """
    subjects = {_subject(name) for name in names}
    if len(subjects) < len(names):
        raise StoreError(
            f"{store.folder}: names of cases differ in '-' and '_' alone, which BIDS subjects cannot have; export with "
            "--format nnunet"
        )
    present = prepare_export(store, folder, record, makers=_makers)
    exported = [name for name in present if name in subjects]
    refuse_links(folder, [*exported, *(f"{name}/anat" for name in exported)])
    stale = [name for name in present if name.startswith("sub-") and name not in subjects]
    refuse_foreign(folder, [name for name in stale if not _is_exported_case(folder / name)])
    return stale


def _makers(folder: Path) -> list[str] | None:
    """sha256 of the generators of an export without a record, as earlier ones are; None for what is no export."""
    try:
        content = read_bounded(folder / DESCRIPTION_FILE, MAX_DESCRIPTION_BYTES)
        program, first, *further = parse_json(content)["GeneratedBy"]
        found = [str(maker["Version"]) for maker in (first, *further)]
        return found if program["Name"] == "synthaug" else None
    except (StoreError, OSError, ValueError, LookupError, TypeError):
        return None


def _is_exported_case(subject: Path) -> bool:
    """Whether a folder holds exported files and nothing else, so that no work of the user's goes with it."""
    if subject.is_symlink() or not subject.is_dir():
        return False
    anatomy = subject / "anat"
    if anatomy.is_symlink() or any(entry.name != "anat" for entry in folder_entries(subject)):
        return False
    return anatomy.is_dir() and all(
        any(entry.name.startswith(f"{subject.name}_{entities}_") for entities in (ENTITIES, *EARLIER_ENTITIES))
        or parse_temporary_name(entry.name) is not None
        for entry in folder_entries(anatomy)
    )
