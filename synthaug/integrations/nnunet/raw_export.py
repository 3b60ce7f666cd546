"""A store as a raw data set of nnU-Net: ``imagesTr``, ``labelsTr`` and ``dataset.json``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import ConfigurationError, LabelError, StoreError
from synthaug.files.atomic import folder_entries, parse_temporary_name, replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.labels import LabelScheme
from synthaug.labels.nnunet_labels import IGNORE
from synthaug.labels.scheme import BACKGROUND
from synthaug.store import Store
from synthaug.store.export_folder import (
    RECORD_FILE,
    export_record,
    prepare_export,
    refuse_foreign,
    refuse_links,
    write_record,
)
from synthaug.volumes import write_image, write_label

FORM = "nnunet"
DATASET_FILE = "dataset.json"
FOLDERS = ("imagesTr", "labelsTr")
ENDING = ".nii.gz"
_NAME = re.compile(r"Dataset\d{3}_\S+")
_UNNAMED = re.compile(r"label_\d+")


@dataclass(frozen=True)
class RawLabels:
    """What the labels of a scheme become, since nnU-Net wants them without a gap.

    Attributes:
        labels: ``labels`` of ``dataset.json``: ids, or lists of ids for regions.
        regions_class_order: label that each region writes, in their order; None without regions.
        numbers: label by id of the scheme.
    """

    labels: Mapping[str, int | list[int]]
    regions_class_order: tuple[int, ...] | None
    numbers: Mapping[int, int]

    @classmethod
    def of(cls, scheme: LabelScheme, *, regions: bool | None = None) -> RawLabels:
        """Number the labels of a scheme.

        Args:
            scheme: of the label maps.
            regions: train on the scheme's groups instead of its structures; None: where a structure has no name of its
                own, as in a data set whose labels were regions from the start.

        Raises:
            LabelError: no groups, or groups from which the structures cannot be told.
        """
        numbers = {0: 0, **{number: place for place, number in enumerate(sorted(scheme.ids), start=1)}}
        if scheme.ignore_id is not None:
            numbers[scheme.ignore_id] = len(numbers)  # nnU-Net wants it last
        ignore = {} if scheme.ignore_id is None else {IGNORE: numbers[scheme.ignore_id]}
        unnamed = any(_UNNAMED.fullmatch(name) for name in scheme.names)
        if regions is None:
            regions = unnamed and bool(scheme.groups)
        if not regions:
            named = {name: numbers[scheme.id_of(name)] for name in scheme.names}
            ordered = dict(sorted(named.items(), key=lambda entry: entry[1]))
            return cls({BACKGROUND: 0, **ordered, **ignore}, None, numbers)
        listed, order = _regions(scheme, numbers)
        return cls({BACKGROUND: 0, **listed, **ignore}, order, numbers)

    def apply(self, label: np.ndarray) -> np.ndarray:
        """A label map with the numbers of ``dataset.json``; int16 ``(X, Y, Z)``."""
        table = np.zeros(max(self.numbers) + 1, np.int16)
        for number, place in self.numbers.items():
            table[number] = place
        return np.asarray(table[label], np.int16)


def export_nnunet(
    store: Store,
    folder: Path,
    *,
    regions: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write every case of a store as a training case of nnU-Net.

    ``imagesTr/NAME_0000.nii.gz`` for each channel and ``labelsTr/NAME.nii.gz``, with the true affine, and last
    ``dataset.json``: until it is there, nnU-Net finds no data set. What an earlier, interrupted export of the same
    cases has written is kept where it holds what it should. ``synthaug_export.json`` has what the generators were
    fitted on, since the trainers of nnU-Net itself have no guard against validation cases among it.

    Args:
        store: is only read; every array is checked against its digest.
        folder: ``nnUNet_raw/DatasetXXX_Name``: new, empty, or an earlier export of this generator's cases. Cases that
            the store no longer has are removed from it.
        regions: see :meth:`RawLabels.of`.
        progress: called with (cases written, all cases).

    Returns:
        How many cases the data set has.

    Raises:
        ConfigurationError: a folder name that nnU-Net does not take.
        StoreError: the folder lies within the store or holds something else, of which nothing is changed; the cache is
            empty; or a case is damaged (its name is in the message).
        LabelError: regions that cannot be told apart.
    """
    if not _NAME.fullmatch(folder.name):
        raise ConfigurationError(
            f"--out {folder}: nnU-Net takes data sets named DatasetXXX_Name, such as Dataset901_Synthetic; name it so"
        )
    names = store.names()
    if not names:
        raise StoreError(f"{store.folder}: the cache is empty; fill it with `synthaug precompute`")
    raw = RawLabels.of(store.info.scheme, regions=regions)
    described = _description(store, raw, len(names))
    record = export_record(
        store,
        FORM,
        labels=described["labels"],
        regions_class_order=described.get("regions_class_order"),
        channels=list(store.info.channels),
        # outside a cache nothing refuses a validation case that the generator has seen: this is to look it up
        fitted_on=[asdict(case) for case in store.info.training_cases],
    )
    written = _prepare(store, folder, record)
    (folder / DATASET_FILE).unlink(missing_ok=True)
    write_record(folder, record)
    for place in FOLDERS:
        (folder / place).mkdir(exist_ok=True)
    for name in sorted(written.difference(names)):
        for path in _files(folder, name, len(store.info.channels)):
            path.unlink(missing_ok=True)
    for number, name in enumerate(names, start=1):
        label, *images = _files(folder, name, len(store.info.channels))
        pair = store.read(name)
        for path, image in zip(images, pair.image, strict=True):
            write_image(path, image[None], pair.affine, keep_equal=True)
        write_label(label, raw.apply(pair.label), pair.affine, keep_equal=True)
        if progress is not None:
            progress(number, len(names))
    replace_file(folder / DATASET_FILE, (canonical_json(described) + "\n").encode())
    return len(names)


def _description(store: Store, raw: RawLabels, number: int) -> dict[str, Any]:
    licences = dict.fromkeys(maker.licence for maker in store.info.makers if maker.licence)
    order = {} if raw.regions_class_order is None else {"regions_class_order": list(raw.regions_class_order)}
    return {
        "name": f"Synthetic pairs of {', '.join(dict.fromkeys(maker.name for maker in store.info.makers))}",
        "channel_names": {str(place): name for place, name in enumerate(store.info.channels)},
        "labels": dict(raw.labels),
        **order,
        "numTraining": number,
        "file_ending": ENDING,
        "licence": "; ".join(licences) or "not stated",
        "description": "made by synthaug; no subject is a person",
        "generators": [maker.to_dict() for maker in store.info.makers],
    }


def _files(folder: Path, name: str, channels: int) -> list[Path]:
    """Label map and images of a case, in the order in which they are removed."""
    images = [folder / FOLDERS[0] / f"{name}_{channel:04d}{ENDING}" for channel in range(channels)]
    return [folder / FOLDERS[1] / f"{name}{ENDING}", *images]


def _prepare(store: Store, folder: Path, record: Mapping[str, Any]) -> set[str]:
    """Make the folder, or make sure that it is an export of this generator's cases.

    Returns:
        Names of the cases that are in it.

    Raises:
        StoreError: it holds something else, or lies within the store.
    """
    present = prepare_export(store, folder, record, same=("labels", "regions_class_order", "channels"))
    refuse_links(folder, FOLDERS)
    names = set()
    foreign = [name for name in present if name not in (DATASET_FILE, RECORD_FILE, *FOLDERS)]
    endings = {
        FOLDERS[0]: tuple(f"_{channel:04d}{ENDING}" for channel in range(len(store.info.channels))),
        FOLDERS[1]: (ENDING,),
    }
    for place, allowed in endings.items():
        for entry in folder_entries(folder / place):
            if parse_temporary_name(entry.name) is not None:
                continue
            ending = next((one for one in allowed if entry.name.endswith(one)), None)
            name = "" if ending is None else entry.name.removesuffix(ending)
            if name in store or (entry.is_file(follow_symlinks=False) and re.fullmatch("sa[0-9a-f]{20}", name)):
                names.add(name)
            else:
                foreign.append(f"{place}/{entry.name}")
    refuse_foreign(folder, foreign)
    return names


def _regions(scheme: LabelScheme, numbers: Mapping[int, int]) -> tuple[dict[str, list[int]], tuple[int, ...]]:
    """Regions from large to small, and the label that each leaves behind, so that together they give the label map.

    Raises:
        LabelError: no groups, or groups from which the structures cannot be told.
    """
    mend = "export without --regions, or give the scheme such groups"
    if not scheme.groups:
        raise LabelError(f"scheme {scheme.name!r} has no groups, which --regions would train on; {mend}")
    named = [name for name in scheme.names if not _UNNAMED.fullmatch(name)]
    listed = {group: sorted(numbers[number] for number in scheme.resolve(group)) for group in scheme.groups}
    covered = {number for members in listed.values() for number in members}
    listed |= {
        name: [numbers[scheme.id_of(name)]] for name in named if [numbers[scheme.id_of(name)]] not in listed.values()
    }
    for name in scheme.names:
        if numbers[scheme.id_of(name)] not in covered and name not in listed:
            raise LabelError(f"scheme {scheme.name!r}: {name!r} is in no group, and has no name of its own; {mend}")
    ordered = dict(sorted(listed.items(), key=lambda entry: (-len(entry[1]), entry[0])))
    order: list[int] = []
    later: set[int] = set()
    for name, members in reversed(ordered.items()):
        own = [number for number in members if number not in later]
        if len(own) > 1:
            raise LabelError(
                f"scheme {scheme.name!r}: region {name!r} has {len(own)} labels that are in no smaller region, so that "
                f"they could not be told apart; {mend}"
            )
        # where smaller regions cover it all, whatever it leaves behind is written over
        order.insert(0, own[0] if own else members[0])
        later.update(members)
    return ordered, tuple(order)
