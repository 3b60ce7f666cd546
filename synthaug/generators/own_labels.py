"""A user's label map on a generator's grid, and the image that is made there back on the label map's own voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from synthaug.errors import LabelError
from synthaug.volumes.grid import Grid, box_of, check_field_of_view, place_on_grid

EQUAL_SPACING = 1e-4
"""Relative difference of voxel edges that count as equal; `place_on_grid` copies voxels then."""


@dataclass(frozen=True, eq=False)
class PlacedLabel:
    """A label map on a grid, with the way back.

    The grid's axes are those of the label map's voxels, which are the nearest to RAS+: a head that lies askew in the
    scanner is not turned, so that nothing is interpolated where voxels are as large as the grid's.

    Attributes:
        own: ``(X, Y, Z)``, the label map as it was read.
        own_grid: its voxels.
        grid: shape and spacing of the generator's pairs.
        grid_affine: voxel-to-mm matrix of the grid, ``(4, 4)``; mm from the label map's first voxel, along its axes.
        label: the label map on the grid.
    """

    own: np.ndarray
    own_grid: Grid
    grid: Grid
    grid_affine: np.ndarray
    label: np.ndarray

    @classmethod
    def place(cls, label: np.ndarray, spacing_mm: tuple[float, float, float], grid: Grid, where: str) -> PlacedLabel:
        """Place a label map with the centre of its labelled box at the grid's centre.

        Along an axis on which the box is longer than the grid, the part with most of the labels is taken: a spinal
        cord below a brain does not push its crown out.

        Args:
            label: ``(X, Y, Z)`` in RAS+ order, ids of the generator's scheme.
            spacing_mm: edges of its voxels in mm.
            grid: the generator's.
            where: file that errors name.

        Raises:
            LabelError: no labelled voxel.
            GeometryError: more than 5 % of the labelled volume lies outside the grid.
        """
        if not (label > 0).any():
            raise LabelError(
                f"{where}: holds no voxel of a structure that the generator makes; an image needs some: leave the file "
                "out, or mend its label mapping"
            )
        x, y, z = label.shape
        own_grid = Grid((x, y, z), spacing_mm)
        own_affine = _from_first_voxel(own_grid)
        grid_affine = grid.affine_centred_at(_centre_mm(label > 0, own_grid, grid))
        # whole voxels from the label map's first one: where spacings are equal, rounding goes one way there and back
        grid_affine[:3, 3] = np.rint(grid_affine[:3, 3] / grid.spacing_mm) * grid.spacing_mm
        placed = place_on_grid(label, own_affine, grid, grid_affine, is_label=True)
        check_field_of_view(label, own_affine, placed, grid, where)
        return cls(label, own_grid, grid, grid_affine, placed)

    @cached_property
    def shown(self) -> np.ndarray:
        """Where an image shows the label map: ``(X, Y, Z)`` of its own voxels, labelled and within the grid."""
        whole = np.ones(self.grid.shape, dtype=np.uint8)
        shown: np.ndarray = (self.own > 0) & (self._bring_back(whole, is_label=True) > 0)
        return shown

    def bring_back(self, image: np.ndarray, background: Sequence[float]) -> np.ndarray:
        """An image on the label map's own voxels.

        Copied where spacings are equal, else resampled by `place_on_grid` from tissue that goes on beyond its border,
        so that no background is mixed in.

        Args:
            image: ``(C, X, Y, Z)`` float32 on the grid, made for ``label``.
            background: intensity of each channel outside all labels.

        Returns:
            ``(C, X, Y, Z)`` float32 on the label map's voxels, exactly the background's where ``shown`` is False.
        """
        ratio = np.array(self.own_grid.spacing_mm) / self.grid.spacing_mm
        if not np.allclose(ratio, 1, rtol=0, atol=EQUAL_SPACING):
            nearest = ndimage.distance_transform_edt(
                self.label == 0, sampling=self.grid.spacing_mm, return_distances=False, return_indices=True
            )
            image = image[(slice(None), *nearest)]
        channels = zip(image, background, strict=True)
        return np.stack(
            [
                np.where(self.shown, self._bring_back(one, is_label=False), np.float32(beyond))
                for one, beyond in channels
            ]
        )

    def _bring_back(self, array: np.ndarray, *, is_label: bool) -> np.ndarray:
        return place_on_grid(
            array, self.grid_affine, self.own_grid, _from_first_voxel(self.own_grid), is_label=is_label
        )


def _from_first_voxel(grid: Grid) -> np.ndarray:
    """Voxel-to-mm matrix, ``(4, 4)``, with the first voxel at the origin."""
    return np.diag([*grid.spacing_mm, 1.0])


def _centre_mm(labelled: np.ndarray, own_grid: Grid, grid: Grid) -> np.ndarray:
    """Where the grid's centre is to be, mm from the first voxel of a mask ``(X, Y, Z)``."""
    centre = []
    for axis, box in enumerate(box_of(labelled)):
        first, size, spacing = box.start, box.stop - box.start, own_grid.spacing_mm[axis]
        fitting = max(1, int(grid.shape[axis] * grid.spacing_mm[axis] / spacing))  # voxels of the mask in the grid
        if size > fitting:
            counts = labelled.sum(axis=tuple(other for other in range(3) if other != axis))
            held = np.convolve(counts, np.ones(fitting, dtype=counts.dtype), mode="valid")
            best = np.flatnonzero(held == held.max())
            first, size = int(best[len(best) // 2]), fitting
        centre.append((first + (size - 1) / 2) * spacing)
    return np.array(centre)
