"""Real cases of some folders, with their images where there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthaug.evaluation.label_maps import LabelMaps, case_identifier
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.volumes import fingerprint_array, read_image, read_label


@dataclass(frozen=True)
class RealCase:
    """A real case in RAS+ order.

    Attributes:
        identifier: of the case.
        label: ``(X, Y, Z)``, in the scheme that was asked for.
        image: ``(C, X, Y, Z)``, or None.
        affine: voxel-to-mm matrix, ``(4, 4)``.
        fingerprint: of what the label file holds, before any mapping.
    """

    identifier: str
    label: np.ndarray
    image: np.ndarray | None
    affine: np.ndarray
    fingerprint: str


def read_real_cases(folders: Sequence[Path], scheme: LabelScheme, mapping: LabelMapping | None) -> Iterator[RealCase]:
    """Read the cases one by one; the images are those of an nnU-Net raw dataset.

    Args:
        folders: nnU-Net raw datasets or folders of label maps.
        scheme: of label maps that say nothing of theirs.
        mapping: from the label maps' scheme, or None.

    Raises:
        SynthAugError: a folder without label maps, or a file that cannot be read.
    """
    for folder in folders:
        maps = LabelMaps.find(folder, scheme, mapping)
        for path in maps.paths:
            label, affine = read_label(path, maps.mapping.source if maps.mapping else maps.scheme)
            fingerprint = fingerprint_array(label)
            mapped = maps.mapping.apply(label, str(path)) if maps.mapping else label
            yield RealCase(case_identifier(path), mapped, _image(path), affine, fingerprint)


def _image(label_path: Path) -> np.ndarray | None:
    """Image ``(C, X, Y, Z)`` beside a label map of an nnU-Net raw dataset, or None."""
    if label_path.parent.name != "labelsTr":
        return None
    files = sorted((label_path.parent.parent / "imagesTr").glob(f"{case_identifier(label_path)}_[0-9]*.nii*"))
    return np.concatenate([read_image(path)[0] for path in files]) if files else None
