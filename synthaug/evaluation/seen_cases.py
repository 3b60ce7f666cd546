"""Real cases of some folders, told apart by whether a generator was fitted on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from synthaug.evaluation.label_maps import LabelMaps, case_identifier
from synthaug.evaluation.memorisation import CaseFeatures
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.volumes import CaseRecord, fingerprint_array, read_image, read_label
from synthaug.volumes.grid import Grid


def seen_and_unseen(
    folders: Sequence[Path],
    scheme: LabelScheme,
    mapping: LabelMapping | None,
    seen: Sequence[CaseRecord],
    grid: Grid,
) -> tuple[list[CaseFeatures], list[CaseFeatures]]:
    """Features of the cases that a generator was fitted on, and of those that it never saw.

    A case counts as seen by its name or by its content. The images are those of an nnU-Net raw dataset; label maps
    alone are compared as such.

    Args:
        folders: nnU-Net raw datasets or folders of label maps.
        scheme: the generator's.
        mapping: from the label maps' scheme, or None.
        seen: what the generator was fitted on.
        grid: of the features.

    Raises:
        SynthAugError: a folder without label maps, or a file that cannot be read.
    """
    names = {record.identifier for record in seen}
    contents = {record.label_sha256 for record in seen if record.label_sha256}
    fitted: list[CaseFeatures] = []
    unseen: list[CaseFeatures] = []
    for folder in folders:
        for path, label, affine, content in _label_maps(LabelMaps.find(folder, scheme, mapping)):
            identifier = case_identifier(path)
            features = CaseFeatures.of(identifier, label, _image(path), affine, scheme, grid)
            (fitted if identifier in names or content in contents else unseen).append(features)
    return fitted, unseen


def _label_maps(maps: LabelMaps) -> Iterator[tuple[Path, np.ndarray, np.ndarray, str]]:
    """Files with their label maps, affines, and the fingerprints of what the files hold."""
    for path in maps.paths:
        label, affine = read_label(path, maps.mapping.source if maps.mapping else maps.scheme)
        content = fingerprint_array(label)
        yield path, maps.mapping.apply(label, str(path)) if maps.mapping else label, affine, content


def _image(label_path: Path) -> np.ndarray | None:
    """Image ``(C, X, Y, Z)`` beside a label map of an nnU-Net raw dataset, or None."""
    if label_path.parent.name != "labelsTr":
        return None
    files = sorted((label_path.parent.parent / "imagesTr").glob(f"{case_identifier(label_path)}_[0-9]*.nii*"))
    return np.concatenate([read_image(path)[0] for path in files]) if files else None
