"""Copies of a case as they turn up in a generator's training data: the same patient in another file."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from synthaug.generators.cases import CasePaths


def under_its_name(case: CasePaths, folder: Path) -> CasePaths:
    """The files as they are, elsewhere."""
    return _copy(case, folder, case.identifier, shutil.copyfile)


def renamed(case: CasePaths, folder: Path) -> CasePaths:
    """The files as they are, under another name."""
    return _copy(case, folder, "somebody_else", shutil.copyfile)


def saved_otherwise(case: CasePaths, folder: Path) -> CasePaths:
    """Turned to LPS, with another type of voxels and another compression."""

    def save(source: Path, target: Path) -> None:
        image: Any = nibabel.load(source)
        before = nibabel.orientations.io_orientation(image.affine)
        turn = nibabel.orientations.ornt_transform(before, nibabel.orientations.axcodes2ornt("LPS"))
        turned = image.as_reoriented(turn)
        assert not np.array_equal(turned.affine, image.affine)
        wider = np.float64 if image.get_data_dtype().kind == "f" else np.int32
        assert image.get_data_dtype() != wider
        turned.set_data_dtype(wider)
        with gzip.open(target, "wb", compresslevel=1) as file:
            file.write(turned.to_bytes())

    return _copy(case, folder, "turned", save)


def padded(case: CasePaths, folder: Path) -> CasePaths:
    """With a margin of zeros, wider on one side."""

    def save(source: Path, target: Path) -> None:
        image: Any = nibabel.load(source)
        affine = image.affine.copy()
        affine[:3, 3] -= affine[:3, :3] @ (2, 0, 1)
        margin = ((2, 3), (0, 1), (1, 0))
        nibabel.save(nibabel.Nifti1Image(np.pad(np.asarray(image.dataobj), margin), affine), target)

    return _copy(case, folder, "padded", save)


COPIES = (under_its_name, renamed, saved_otherwise, padded)


def _copy(case: CasePaths, folder: Path, name: str, save: Callable[[Path, Path], Any]) -> CasePaths:
    """A copy whose image and label map lie in folders of their own."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    images = tuple(folder / "images" / f"{name}_{channel:04d}.nii.gz" for channel in range(len(case.images)))
    label = folder / "labels" / f"{name}.nii.gz"
    for source, target in zip((*case.images, case.label), (*images, label), strict=True):
        save(source, target)
    return CasePaths(name, images, label)
