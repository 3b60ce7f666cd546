"""How large a structure is in the real cases of a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from synthaug.errors import ConfigurationError, LabelError
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.labels import LabelMapping, count_labels
from synthaug.volumes import read_label


def measure_real_cases(
    dataset: NnunetDataset, names: Sequence[str], mapping: LabelMapping, structure: str
) -> list[float]:
    """Volume in mL of a structure or group of the generator in real cases.

    Args:
        dataset: The dataset.
        names: Identifiers of the cases.
        mapping: From the generator's structures to the dataset's labels.
        structure: Structure or group of the generator.

    Raises:
        LabelError: The structure is unknown, has no label in the dataset, or shares one with others.
        ConfigurationError: A case has no label map here.
        SynthAugError: A label map cannot be read.
    """
    labels = labels_of(mapping, structure)
    files = dataset.label_files()
    lost = [name for name in names if name not in files]
    if lost:
        raise ConfigurationError(
            f"{dataset.name}: no label map of {', '.join(lost[:3])} ({len(lost)} of {len(names)} training cases) in "
            f"{dataset.preprocessed / 'gt_segmentations'}; run nnUNetv2_plan_and_preprocess, or set nnUNet_raw"
        )

    def measure(name: str) -> float:
        label, affine = read_label(files[name], dataset.scheme)
        counts = count_labels(label)
        voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
        return round(sum(counts.get(number, 0) for number in labels) * voxel_ml, 4)  # the same on every machine

    # decompression runs outside the interpreter's lock
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(measure, names))


def labels_of(mapping: LabelMapping, structure: str) -> set[int]:
    """The labels of a dataset that are a structure or group of the generator, and nothing else.

    Raises:
        LabelError: There is no such structure, or it has no label of its own in the dataset.
    """
    wanted = set(mapping.source.resolve(structure))
    taken = {name: mapping.table[name] for name in mapping.source.names}
    labels = {goal for name, goal in taken.items() if mapping.source.id_of(name) in wanted}
    shared = sorted(name for name, goal in taken.items() if goal in labels and mapping.source.id_of(name) not in wanted)
    numbers = {mapping.target.id_of(goal) for goal in labels}
    if shared or 0 in numbers:
        with_others = f" together with {', '.join(shared)}" if shared else ""
        raise LabelError(
            f"{structure} cannot be measured in {mapping.target.name}: it is {', '.join(sorted(labels))} there"
            f"{with_others}; give a schedule that needs no real cases, such as uniform:20:120"
        )
    return numbers
