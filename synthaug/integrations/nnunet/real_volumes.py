"""How large a structure is in the real cases of a dataset, and what these lack."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from synthaug.errors import ConfigurationError
from synthaug.integrations.nnunet.case_examination import READABLE
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.labels import LabelMapping, count_labels
from synthaug.schedules import HistogramMatching, MissingVolumes, MixSchedule
from synthaug.volumes import read_label
from synthaug.volumes.geometry import voxel_volume_ml


def fill_missing(
    dataset: NnunetDataset,
    wanted: MissingVolumes,
    mix: MixSchedule,
    training: Sequence[str],
    mapping: LabelMapping,
    announce: Callable[[str], None],
) -> HistogramMatching:
    """The schedule that fills what the training cases of a fold lack; no other case is read.

    Args:
        dataset: The dataset.
        wanted: The range to be filled.
        mix: Share of synthetic cases over the training; its mean counts.
        training: Identifiers of the fold's training cases.
        mapping: From the generator's structures to the dataset's labels.
        announce: Told what was measured.

    Raises:
        SynthAugError: As `measure_volumes_ml`; or no case can be measured, or the share is 0.
    """
    measured = measure_volumes_ml(dataset, training, mapping, wanted.structure)
    real_ml = [volume_ml for volume_ml in measured if volume_ml is not None]
    if not real_ml:
        raise ConfigurationError(
            f"{dataset.name}: none of {len(training)} training cases can be measured: they are none, or have ignored "
            f"voxels; mend splits_final.json, or give a schedule such as {wanted.structure}=uniform:{wanted.low_ml:g}:"
            f"{wanted.high_ml:g}"
        )
    schedule = wanted.beside(real_ml, mix.mean_fraction)
    left_out = f" ({len(measured) - len(real_ml)} with ignored voxels left out)" if len(real_ml) < len(measured) else ""
    announce(
        f"synthaug: {len(real_ml)} training cases{left_out} have {min(real_ml):.1f} to {max(real_ml):.1f} mL of "
        f"{wanted.structure}; pairs fill what these lack of {wanted.low_ml:g} to {wanted.high_ml:g} mL"
    )
    return schedule


def measure_volumes_ml(
    dataset: NnunetDataset, names: Sequence[str], mapping: LabelMapping, structure: str
) -> list[float | None]:
    """Volume in mL of a structure or group of the generator in real cases; None for one with ignored voxels.

    Args:
        dataset: The dataset.
        names: Identifiers of the cases.
        mapping: From the generator's structures to the dataset's labels.
        structure: Structure or group of the generator.

    Raises:
        LabelError: The structure is unknown, has no label in the dataset, or shares one with others.
        ConfigurationError: A case has no label map here, or one that is no NIfTI file.
        SynthAugError: A label map cannot be read.
    """
    labels = mapping.own_labels(structure)
    files = dataset.label_files()
    for name in names:
        if name not in files:
            raise ConfigurationError(
                f"{dataset.name}: training case {name} has no label map in gt_segmentations or labelsTr; restore it, "
                "or mend splits_final.json"
            )
        if not files[name].name.endswith(READABLE):
            raise ConfigurationError(
                f"{files[name]}: only NIfTI label maps are measured; measure {structure} elsewhere and give a JSON "
                f"file of kind {HistogramMatching.kind}, or a schedule such as {structure}=uniform:20:120"
            )

    def measure(name: str) -> float | None:
        label, affine = read_label(files[name], dataset.scheme)
        counts = count_labels(label)
        if dataset.scheme.ignore_id is not None and counts.get(dataset.scheme.ignore_id, 0) > 0:
            return None
        volume_ml = sum(counts.get(number, 0) for number in labels) * voxel_volume_ml(affine)
        return round(volume_ml, 4)  # the same on every machine

    # decompression runs outside the interpreter's lock
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(measure, names))
