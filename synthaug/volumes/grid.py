"""The fixed grid of a generator: shape and spacing, on which every case is placed and every pair is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from synthaug.errors import GeometryError
from synthaug.volumes.geometry import voxel_volume_ml

LARGEST_SHARE_OUTSIDE = 0.05
"""Of a label map's volume, at most this may lie outside the grid that it is placed on."""


@dataclass(frozen=True)
class Grid:
    """A grid of voxels in RAS+ order.

    Attributes:
        shape: voxels along x (left to right), y (posterior to anterior), z (inferior to superior).
        spacing_mm: voxel edge lengths in mm, in the same order.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of a voxel in mL."""
        return float(np.prod(self.spacing_mm)) / 1000

    @property
    def affine(self) -> np.ndarray:
        """Voxel-to-mm matrix that puts the grid's centre at the origin, float64 ``(4, 4)``."""
        return self.affine_centred_at(np.zeros(3))

    def affine_centred_at(self, centre_mm: np.ndarray) -> np.ndarray:
        """Voxel-to-mm matrix, float64 ``(4, 4)``, that puts the grid's centre at ``centre_mm``."""
        affine = np.diag([*self.spacing_mm, 1.0])
        affine[:3, 3] = centre_mm - affine[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        return affine


def box_of(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """Bounding box of a ``(X, Y, Z)`` mask, which holds a voxel at least."""
    lines = [np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    x, y, z = (slice(int(line[0]), int(line[-1]) + 1) for line in lines)
    return x, y, z


def box_centre_mm(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Centre, in mm, of the bounding box of a ``(X, Y, Z)`` mask."""
    centre = np.array([(one.start + one.stop - 1) / 2 for one in box_of(mask)])
    return affine[:3, :3] @ centre + affine[:3, 3]


def place_on_grid(
    array: np.ndarray, affine: np.ndarray, grid: Grid, grid_affine: np.ndarray, *, is_label: bool
) -> np.ndarray:
    """Resample a RAS+ array to a grid; beyond the array's edge the result is 0.

    Where spacing is equal the shift is rounded to whole voxels, and the voxels are copied unchanged.

    Args:
        array: ``(X, Y, Z)``.
        affine: its voxel-to-mm matrix, ``(4, 4)``.
        grid: grid of the result.
        grid_affine: voxel-to-mm matrix of the grid.
        is_label: nearest neighbour for labels; trilinear for images, smoothed before where the grid is coarser.
    """
    to_source = np.linalg.inv(affine) @ grid_affine
    matrix, offset = to_source[:3, :3], to_source[:3, 3]
    if np.allclose(matrix, np.eye(3), atol=1e-4):
        return _copy_block(array, np.rint(offset).astype(int), grid.shape)
    # outer voxels reach half their edge beyond their centres, which thick slices cannot do without
    offset = offset + 1
    if is_label:
        return ndimage.affine_transform(np.pad(array, 1), matrix, offset, output_shape=grid.shape, order=0)
    # voxels of the array along an edge of the grid's voxels, by axis of the array
    edges = np.abs(matrix).sum(axis=1)
    smooth = ndimage.gaussian_filter(array.astype(np.float32), np.maximum(edges - 1, 0) / 2, mode="nearest")
    values = ndimage.affine_transform(np.pad(smooth, 1, mode="edge"), matrix, offset, output_shape=grid.shape, order=1)
    frame = np.pad(np.ones(array.shape, np.uint8), 1)
    inside = ndimage.affine_transform(frame, matrix, offset, output_shape=grid.shape, order=0)
    return (values * inside).astype(array.dtype)


def _copy_block(array: np.ndarray, start: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    result = np.zeros(shape, dtype=array.dtype)
    source, target = [], []
    for first, size, available in zip(start, shape, array.shape, strict=True):
        low, high = max(first, 0), min(first + size, available)
        source.append(slice(low, max(high, low)))
        target.append(slice(low - first, max(high, low) - first))
    result[tuple(target)] = array[tuple(source)]
    return result


def check_field_of_view(label: np.ndarray, affine: np.ndarray, placed: np.ndarray, grid: Grid, where: str) -> None:
    """Refuse a label map that a grid is too small for.

    Args:
        label: ``(X, Y, Z)``.
        affine: its voxel-to-mm matrix, ``(4, 4)``.
        placed: the same on the grid.
        grid: the grid.
        where: file that the error names.

    Raises:
        GeometryError: more than `LARGEST_SHARE_OUTSIDE` of the labelled volume is lost.
    """
    before_ml = float((label > 0).sum()) * voxel_volume_ml(affine)
    after_ml = float((placed > 0).sum()) * grid.voxel_volume_ml
    if after_ml < (1 - LARGEST_SHARE_OUTSIDE) * before_ml:
        raise GeometryError(
            f"{where}: {100 * (1 - after_ml / before_ml):.0f} % of the labelled volume lies outside the field of "
            f"view {grid.shape} voxels of {grid.spacing_mm} mm; at most {100 * LARGEST_SHARE_OUTSIDE:g} % may: crop "
            "the label map, or fit a generator with a larger field of view"
        )
