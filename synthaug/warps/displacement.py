"""Displacement fields: integrate velocities, compose, and apply to label maps and images.

All fields are backward (pull) fields in voxels: ``(1, 3, X, Y, Z)`` float32 tensors, and the warped array at voxel
``x`` is the source at ``x + field[:, x]``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch.nn import functional

TIE = 1e-6
"""Shares of a label that differ by less than this are equal but for rounding."""


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
    return functional.grid_sample(source, normalised.flip(-1), mode=mode, padding_mode=padding_mode, align_corners=True)


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
    Only the up to eight labels around a sampled point can win, and where they are one label nothing needs
    interpolating: the cost does not grow with the number of labels. Of equal shares the smaller label wins.
    """
    shape = label.shape
    flat = label.flatten()
    index = torch.zeros(flat.shape, dtype=torch.long)
    fractions = []
    for axis, size in enumerate(shape):
        positions = torch.arange(size, dtype=torch.float32).view([-1 if axis == other else 1 for other in range(3)])
        positions = (positions + field[0, axis]).clamp(0, size - 1).flatten()
        low = positions.floor().clamp(max=max(size - 2, 0))
        fractions.append(positions - low)
        index = index * size + low.long()
    strides = (shape[1] * shape[2] * (shape[0] > 1), shape[2] * (shape[1] > 1), int(shape[2] > 1))
    corners = list(itertools.product((0, 1), repeat=3))
    offsets = [sum(bit * stride for bit, stride in zip(corner, strides, strict=True)) for corner in corners]
    warped = flat[index]
    mixed = torch.zeros(index.shape, dtype=torch.bool)
    for offset in offsets[1:]:
        mixed |= flat[index + offset] != warped
    border = mixed.nonzero().squeeze(1)
    around = torch.stack([flat[index[border] + offset] for offset in offsets])
    toward = [(1 - fraction[border], fraction[border]) for fraction in fractions]
    weights = torch.stack([toward[0][i] * toward[1][j] * toward[2][k] for i, j, k in corners])
    best_share = torch.zeros(len(border))
    best_label = torch.zeros_like(around[0])
    for candidate in around:
        share = ((around == candidate) * weights).sum(0)
        tied = (share - best_share).abs() <= TIE
        better = torch.where(tied, candidate < best_label, share > best_share)
        best_share = torch.where(better, share, best_share)
        best_label = torch.where(better, candidate, best_label)
    warped[border] = best_label
    return warped.view(shape)


def warp_image(image: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Warp an image ``(C, X, Y, Z)`` by trilinear interpolation."""
    return sample_at(image.unsqueeze(0), voxel_grid(image.shape[1:]) + field).squeeze(0)
