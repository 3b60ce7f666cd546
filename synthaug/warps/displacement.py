"""Displacement fields: integrate velocities, compose, and apply to label maps and images.

All fields are backward (pull) fields in voxels: ``(1, 3, X, Y, Z)`` float32 tensors, and the warped array at voxel
``x`` is the source at ``x + field[:, x]``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional


def voxel_grid(shape: Sequence[int]) -> torch.Tensor:
    """Voxel coordinates of a grid, ``(1, 3, X, Y, Z)``."""
    axes = [torch.arange(size, dtype=torch.float32) for size in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).unsqueeze(0)


def sample_at(
    source: torch.Tensor, coordinates: torch.Tensor, *, mode: str = "bilinear", padding_mode: str = "border"
) -> torch.Tensor:
    """Sample ``(1, C, X, Y, Z)`` at voxel coordinates ``(1, 3, x, y, z)``; gives ``(1, C, x, y, z)``."""
    shape = source.shape[2:]
    scale = torch.tensor([2.0 / max(size - 1, 1) for size in shape])
    normalised = coordinates.movedim(1, -1) * scale - 1
    return functional.grid_sample(
        source, normalised.flip(-1), mode=mode, padding_mode=padding_mode, align_corners=True
    )


def integrate(velocity: torch.Tensor, *, steps: int = 6) -> torch.Tensor:
    """Exponential of a stationary velocity field by scaling and squaring (Arsigny et al. 2006)."""
    grid = voxel_grid(velocity.shape[2:])
    field = velocity / 2**steps
    for _ in range(steps):
        field = field + sample_at(field, grid + field)
    return field


def compose(outer: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    """Field that pulls through ``outer`` first: ``x -> x + outer(x)``, then ``inner`` from there."""
    grid = voxel_grid(outer.shape[2:])
    return outer + sample_at(inner, grid + outer)


def resize_field(field: torch.Tensor, shape: Sequence[int], factor: float) -> torch.Tensor:
    """Bring a field to a grid ``factor`` times finer; voxel ``i`` of the coarse grid covers ``factor`` fine voxels."""
    centres = (voxel_grid(shape) + 0.5) / factor - 0.5
    return sample_at(field, centres) * factor


def warp_labels(label: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Warp an integer label map ``(X, Y, Z)``: each label's indicator is interpolated, the largest one wins.

    Interpolating indicators keeps borders smooth and thin structures connected, where nearest neighbour frays them.
    """
    coordinates = voxel_grid(label.shape) + field
    best_value = torch.zeros(label.shape)
    best_label = torch.zeros_like(label)
    for value in torch.unique(label).tolist():
        share = sample_at((label == value).float()[None, None], coordinates)[0, 0]
        better = share > best_value
        best_value = torch.where(better, share, best_value)
        best_label[better] = value
    return best_label


def warp_image(image: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Warp an image ``(C, X, Y, Z)`` by trilinear interpolation."""
    return sample_at(image.unsqueeze(0), voxel_grid(image.shape[1:]) + field).squeeze(0)
