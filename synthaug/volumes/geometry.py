"""Checks on affines, and what they say about a voxel."""

from __future__ import annotations

import numpy as np

from synthaug.errors import GeometryError

AFFINE_TOLERANCE = 1e-3
"""Largest difference, in mm, between two entries of affines that count as equal."""


def check_affine(affine: np.ndarray, where: str) -> None:
    """Refuse what is no invertible voxel-to-mm matrix.

    Args:
        affine: expected ``(4, 4)``, last row ``0 0 0 1``.
        where: file or object that the error names.

    Raises:
        GeometryError: another shape, NaN or infinite entries, another last row, or a singular matrix.
    """
    if affine.shape != (4, 4):
        raise GeometryError(f"{where}: affine of shape {affine.shape}; allowed: (4, 4), voxel to mm in RAS+")
    if not np.isfinite(affine).all():
        raise GeometryError(f"{where}: affine with NaN or infinite entries; write the file's true voxel-to-mm matrix")
    if not np.allclose(affine[3], (0, 0, 0, 1)):
        raise GeometryError(f"{where}: last row of the affine is {affine[3].tolist()}; allowed: [0, 0, 0, 1]")
    spacing = spacing_of(affine)
    if not (spacing > 0).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6 * float(np.prod(spacing)):
        raise GeometryError(
            f"{where}: affine cannot be inverted (voxel edges {spacing.tolist()} mm); "
            "write the file's true voxel-to-mm matrix"
        )


def spacing_of(affine: np.ndarray) -> np.ndarray:
    """Voxel edge lengths in mm, float64 ``(3,)``, in the array's axis order."""
    return np.sqrt((np.asarray(affine, dtype=np.float64)[:3, :3] ** 2).sum(axis=0))


def voxel_volume_ml(affine: np.ndarray) -> float:
    """Volume of a voxel in mL, sheared or not."""
    return abs(float(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3]))) / 1000


def check_same_grid(
    shape: tuple[int, ...], affine: np.ndarray, other_shape: tuple[int, ...], other_affine: np.ndarray, where: str
) -> None:
    """Refuse two volumes that do not lie on the same grid.

    Args:
        shape: spatial shape of the first.
        affine: its affine.
        other_shape: spatial shape of the second.
        other_affine: its affine.
        where: names of both, for the error.

    Raises:
        GeometryError: shapes differ, or affines by more than `AFFINE_TOLERANCE`.
    """
    if tuple(shape) != tuple(other_shape):
        raise GeometryError(
            f"{where}: shapes differ, {tuple(shape)} and {tuple(other_shape)} voxels (RAS+ order); they must be equal: "
            "resample one to the other's grid"
        )
    difference = float(np.abs(affine - other_affine).max())
    if not difference <= AFFINE_TOLERANCE:
        raise GeometryError(
            f"{where}: affines differ by up to {difference:.4g} mm; allowed: {AFFINE_TOLERANCE:g} mm: "
            "resample one to the other's grid, or write the affine of the one that is right into both"
        )
