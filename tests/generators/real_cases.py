"""Small pairs on disk that stand for real cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthaug.conditions import Condition
from synthaug.generators.cases import CasePaths
from synthaug.labels import LabelScheme
from synthaug.volumes import write_image, write_label
from tests.stand_in_generator import StandInGenerator

SCHEME = LabelScheme.load("ventricles-t1")


SHAPE = (64, 64, 64)
SPACING_MM = 1.4
"""A small head whose voxels are kept for finding the field, which then takes a fraction of a second."""


def write_case(
    folder: Path, identifier: str, ventricles_ml: float, *, every: tuple[int, int, int] = (1, 1, 1)
) -> CasePaths:
    """Write a head of 240 mL with ventricles of 3 to 8 mL.

    Args:
        folder: where to.
        identifier: name of the case.
        ventricles_ml: its ventricles' volume.
        every: only each n-th voxel along an axis is kept, which makes voxels anisotropic.
    """
    head = StandInGenerator(shape=SHAPE, spacing_mm=SPACING_MM)
    (pair,) = head.generate([Condition({"ventricles": ventricles_ml})], [len(identifier)])
    x, y, z = every
    affine = pair.affine.copy() @ np.diag([x, y, z, 1])
    affine[:3, 3] = (-50.0, -61.0, -47.5)
    paths = CasePaths(identifier, (folder / f"{identifier}_0000.nii.gz",), folder / f"{identifier}.nii.gz")
    write_image(paths.images[0], np.ascontiguousarray(pair.image[:, ::x, ::y, ::z]), affine)
    write_label(paths.label, np.ascontiguousarray(pair.label[::x, ::y, ::z]), affine)
    return paths
