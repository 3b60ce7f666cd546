"""The isotropic grid on which the displacement field of a case is found, whatever grid the case itself has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from synthaug.warps.displacement import sample_at, voxel_grid

SPACING_MM = 1.0
"""Fine enough for a smooth field in a head; smaller and larger objects get proportionate voxels, see `covering`."""

AXIS_VOXELS = (96, 256)
"""The longest axis of the isotropic grid has a number of voxels between these."""

KEPT_SPACINGS_MM = (0.7, 1.4)
"""A case whose spacing is isotropic and between these keeps its own voxels."""

ISOTROPY_TOLERANCE = 0.02
"""Largest relative difference between spacings that count as equal."""


@dataclass(frozen=True)
class FieldGrid:
    """An isotropic grid with even axes that covers a case's own grid; both begin at the same corner.

    Attributes:
        case_shape: voxels of the case along its axes.
        case_spacing_mm: voxel edges of the case.
        shape: voxels of the isotropic grid; each is even.
        spacing_mm: voxel edge of the isotropic grid.
    """

    case_shape: tuple[int, int, int]
    case_spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    spacing_mm: float

    @classmethod
    def covering(cls, shape: Sequence[int], spacing_mm: Sequence[float]) -> FieldGrid:
        """The grid for a case of ``shape`` voxels with edges ``spacing_mm``."""
        nx, ny, nz = (int(size) for size in shape)
        sx, sy, sz = (float(edge) for edge in spacing_mm)
        mean = (sx * sy * sz) ** (1 / 3)
        equal = all(abs(edge / mean - 1) <= ISOTROPY_TOLERANCE for edge in (sx, sy, sz))
        extents = (nx * sx, ny * sy, nz * sz)
        if equal and KEPT_SPACINGS_MM[0] <= mean <= KEPT_SPACINGS_MM[1]:
            sx = sy = sz = spacing = mean
            ex, ey, ez = _even(nx), _even(ny), _even(nz)
        else:
            spacing = min(max(SPACING_MM, max(extents) / AXIS_VOXELS[1]), max(extents) / AXIS_VOXELS[0])
            ex, ey, ez = (_even(math.ceil(extent / spacing - 1e-6)) for extent in extents)
        return cls((nx, ny, nz), (sx, sy, sz), (ex, ey, ez), spacing)

    def bring(self, array: torch.Tensor) -> torch.Tensor:
        """Bring a label map or mask ``(X, Y, Z)`` of the case to the isotropic grid by nearest neighbour.

        Beyond the case it is 0.
        """
        result = array
        for axis, (size, edge, wanted) in enumerate(
            zip(self.case_shape, self.case_spacing_mm, self.shape, strict=True)
        ):
            source = ((torch.arange(wanted) + 0.5) * (self.spacing_mm / edge)).floor().long()
            beyond = source >= size
            result = result.index_select(axis, source.clamp(max=size - 1))
            result[tuple(beyond if axis == other else slice(None) for other in range(3))] = 0
        return result

    def field_for_case(self, field: torch.Tensor) -> torch.Tensor:
        """Bring a pull field ``(1, 3, x, y, z)``, in voxels of the isotropic grid, to the case.

        The result is ``(1, 3, X, Y, Z)``, in voxels of the case.
        """
        nx, ny, nz = self.case_shape
        if all(edge == self.spacing_mm for edge in self.case_spacing_mm):
            return field[:, :, :nx, :ny, :nz]
        ratio = torch.tensor(self.case_spacing_mm).view(1, 3, 1, 1, 1) / self.spacing_mm
        return sample_at(field, (voxel_grid(self.case_shape) + 0.5) * ratio - 0.5) / ratio


def _even(size: int) -> int:
    return size + size % 2
