"""Ventricles inflated or deflated to a volume, the tissue around them displaced and thinned, topology intact.

A potential whose Laplacian is a source inside the ventricles and a sink in the rest of the head is found with the fast
Fourier transform; its gradient is a stationary velocity field. Its exponential at time ``t`` grows (``t > 0``) or
shrinks (``t < 0``) the ventricles, and ``t`` is searched until the warped label map holds the volume asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from synthaug.errors import BoundsError
from synthaug.warps.displacement import integrate, resize_field, sample_at, voxel_grid, warp_labels

COARSENING = 2
"""The field is found on a grid this many times coarser: it is smooth, and the cost falls eightfold."""


@dataclass(frozen=True)
class Inflation:
    """Result of a search.

    Attributes:
        field: pull field on the label map's grid, ``(1, 3, X, Y, Z)`` voxels.
        label: warped label map, ``(X, Y, Z)``.
        volume_ml: volume that the structures hold in ``label``.
    """

    field: torch.Tensor
    label: torch.Tensor
    volume_ml: float


class VentricleInflator:
    """Velocity field of one label map, to be integrated for any number of target volumes.

    Args:
        label: integer label map ``(X, Y, Z)``; every axis even.
        structure_ids: ids that grow or shrink together.
        fluid_ids: ids that give way first (cerebrospinal fluid outside the ventricles).
        spacing_mm: isotropic voxel spacing.
        taper_mm: the field falls to zero within this distance of the head's surface, which stays where it is.
        head: boolean ``(X, Y, Z)``, what may move, where that is more than the labelled voxels (sulci without a label);
            what it holds without a label counts as fluid.
        rates: growth of each structure on a logarithmic scale, by id; 1 where an id is missing. See
            :func:`synthaug.warps.growth.growth_rates`.
    """

    def __init__(
        self,
        label: torch.Tensor,
        structure_ids: Sequence[int],
        *,
        fluid_ids: Sequence[int] = (),
        spacing_mm: float = 1.0,
        taper_mm: float = 16.0,
        head: torch.Tensor | None = None,
        rates: Mapping[int, float] | None = None,
    ) -> None:
        self._label = label
        self._ids = torch.tensor(list(structure_ids))
        self._voxel_ml = spacing_mm**3 / 1000
        self._inside = _shrink(torch.isin(label, self._ids).float())
        self.volume_ml = float(torch.isin(label, self._ids).sum()) * self._voxel_ml
        if self.volume_ml == 0:
            raise BoundsError(
                f"label map holds no voxel of the structures {list(structure_ids)} to inflate; "
                "leave this case out or name structures that it has"
            )
        movable = label > 0 if head is None else head | (label > 0)
        fluid = torch.isin(label, torch.tensor(list(fluid_ids) or [-1])) | (movable & (label == 0))
        source = torch.isin(label, self._ids).float()
        for number, rate in (rates or {}).items():
            source[label == number] *= rate
        self._velocity = _inflation_velocity(
            self._inside,
            _shrink(source),
            _shrink(movable.float()),
            _shrink(fluid.float()),
            taper_mm / (spacing_mm * COARSENING),
        )

    def _coarse_volume(self, time: float) -> float:
        grid = voxel_grid(self._inside.shape)
        field = integrate(-time * self._velocity)
        warped = sample_at(self._inside[None, None], grid + field)
        return float(warped.sum()) * self._voxel_ml * COARSENING**3

    def inflate(self, target_ml: float, *, tolerance_ml: float = 0.5, refinements: int = 3) -> Inflation:
        """Warp the label map until its structures hold ``target_ml``.

        Raises:
            BoundsError: the target is out of reach of a diffeomorphism of this label map.
        """
        aim = target_ml
        for _ in range(refinements):
            field = self.search_field(aim)
            warped = warp_labels(self._label, field)
            volume = float(torch.isin(warped, self._ids).sum()) * self._voxel_ml
            if abs(volume - target_ml) <= tolerance_ml:
                break
            aim *= target_ml / max(volume, 1e-3)
        return Inflation(field=field, label=warped, volume_ml=volume)

    def search_field(self, target_ml: float) -> torch.Tensor:
        """Pull field, ``(1, 3, X, Y, Z)`` voxels, that gives the structures ``target_ml`` on the field's coarse grid.

        Within some percent on the label map itself; :meth:`inflate` is exact.

        Raises:
            BoundsError: the target is out of reach of a diffeomorphism of this label map.
        """
        return resize_field(integrate(-self._time_for(target_ml) * self._velocity), self._label.shape, COARSENING)

    def _time_for(self, target_ml: float) -> float:
        """Integration time that gives ``target_ml`` on the coarse grid, by false position on the log volume."""
        start = math.log(self._coarse_volume(0.0))
        goal = math.log(target_ml)
        low, low_value = 0.0, start
        high, high_value = goal - start, math.log(max(self._coarse_volume(goal - start), 1e-6))
        for _ in range(6):
            if (high_value - goal) * (low_value - goal) <= 0:
                break
            low, low_value = high, high_value
            high *= 1.6
            high_value = math.log(max(self._coarse_volume(high), 1e-6))
        else:
            raise BoundsError(
                f"target volume {target_ml:.1f} mL is out of reach from {self.volume_ml:.1f} mL; "
                f"the warp got to {math.exp(high_value):.1f} mL: choose a target nearer to it"
            )
        for _ in range(8):
            if abs(high_value - low_value) < 1e-9:
                return high
            middle = low + (goal - low_value) * (high - low) / (high_value - low_value)
            value = math.log(max(self._coarse_volume(middle), 1e-6))
            if abs(value - goal) < 2e-3:
                return middle
            if (value - goal) * (low_value - goal) > 0:
                low, low_value = middle, value
            else:
                high, high_value = middle, value
        return middle


def _shrink(mask: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool3d(mask[None, None], COARSENING)[0, 0]


def _inflation_velocity(
    inside: torch.Tensor, source: torch.Tensor, head: torch.Tensor, fluid: torch.Tensor, taper: float
) -> torch.Tensor:
    """Velocity ``(1, 3, x, y, z)`` in voxels per unit time, whose divergence inside is ``source`` before the taper.

    The sink is spread over the head: four parts fluid to one part tissue, voxel for voxel.
    """
    sink = (head - inside).clamp(min=0) * (0.2 + 0.8 * (fluid > 0.5))
    divergence = source - sink * (source.sum() / sink.sum().clamp(min=1e-6))
    potential = _solve_poisson(divergence)
    velocity = torch.stack(torch.gradient(potential)).unsqueeze(0)
    return velocity * _taper(head, taper)


def _solve_poisson(source: torch.Tensor) -> torch.Tensor:
    """Solve the Poisson equation for a zero-mean source, zero-padded to keep periodic images away."""
    padded = [2 * math.ceil((size + 24) / 2) for size in source.shape]
    spectrum = torch.fft.rfftn(source, s=padded)
    frequencies = [torch.fft.fftfreq(size) for size in padded[:2]] + [torch.fft.rfftfreq(padded[2])]
    kx, ky, kz = torch.meshgrid(*frequencies, indexing="ij")
    # Eigenvalues of the second difference with the central-difference gradient taken afterwards.
    laplacian = torch.stack([2 * torch.cos(2 * math.pi * k) - 2 for k in (kx, ky, kz)]).sum(0)
    laplacian[0, 0, 0] = 1
    spectrum = spectrum / laplacian
    spectrum[0, 0, 0] = 0
    solution = torch.fft.irfftn(spectrum, s=padded)
    return solution[tuple(slice(size) for size in source.shape)]


def _taper(head: torch.Tensor, width: float) -> torch.Tensor:
    """Weight that rises smoothly from 0 at the head's surface to 1 at ``width`` voxels inside."""
    from scipy.ndimage import distance_transform_edt

    depth = torch.from_numpy(distance_transform_edt(head.numpy() > 0.5)).float()
    share = (depth / width).clamp(0, 1)
    return share * share * (3 - 2 * share)
