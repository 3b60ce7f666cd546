"""Every case of a dataset is looked at before anything long begins."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from synthaug.errors import GeometryError, SynthAugError
from synthaug.generators.cases import CasePaths
from synthaug.integrations.nnunet.case_records import record_cases
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.integrations.nnunet.run_configuration import CaseHashes
from synthaug.labels import LabelScheme
from synthaug.volumes import fingerprint_array, fingerprint_label, read_image, read_label

READABLE = (".nii", ".nii.gz")


def examine_cases(dataset: NnunetDataset, announce: Callable[[str], None]) -> dict[str, CaseHashes]:
    """Read all raw cases, refuse what no training can use, and fingerprint the others.

    Cases of different spacing, and label maps without a label, are as good as any for nnU-Net. On a node without the
    raw data, and where its files are not NIfTI, what can be read is fingerprinted and nothing is refused.

    Args:
        dataset: The dataset.
        announce: Told what is done, and what cannot be read.

    Returns:
        The content of the cases by identifier, for the leakage guard.

    Raises:
        SynthAugError: A file is missing or damaged, a label is not in dataset.json, an intensity is not finite, or
            image and label map differ in shape; names the first case and counts the others.
    """
    names = list(dataset.cases) if dataset.raw is not None else list(dataset.label_files())
    announce(f"synthaug: reading and fingerprinting {len(names)} cases of {dataset.name}")
    if dataset.raw is None or not all(case.label.name.endswith(READABLE) for case in dataset.cases.values()):
        known, unknown = record_cases(dataset, names)
        if unknown:
            announce(f"synthaug: not fingerprinted, since they cannot be read: {', '.join(unknown[:5])}")
        return known

    def examine(name: str) -> CaseHashes | SynthAugError:
        try:
            return _examine(dataset.cases[name], dataset.scheme)
        except SynthAugError as error:
            return error

    # decompression and hashing run outside the interpreter's lock
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = dict(zip(names, pool.map(examine, names), strict=True))
    wrong = [error for error in found.values() if isinstance(error, SynthAugError)]
    if wrong:
        more = f" ({len(wrong) - 1} further case(s) of {dataset.name} cannot be used either)" if wrong[1:] else ""
        raise type(wrong[0])(f"{wrong[0]}{more}")
    return {name: hashes for name, hashes in found.items() if isinstance(hashes, CaseHashes)}


def _examine(case: CasePaths, scheme: LabelScheme) -> CaseHashes:
    label, _ = read_label(case.label, scheme)
    images = []
    for path in case.images:
        image, _ = read_image(path)
        if image.shape[1:] != label.shape:
            raise GeometryError(
                f"{path} and {case.label}: shapes differ, {image.shape[1:]} and {label.shape} voxels (RAS+ order); "
                "they must be equal: resample one to the other's grid"
            )
        images.append(image)
    return CaseHashes(fingerprint_array(np.concatenate(images)), fingerprint_label(label))
