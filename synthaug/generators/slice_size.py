"""Label maps at the size that a network of slices works on, and back (MedGen3D resizes slices to 128 x 128)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

LARGEST_SLICE = 128
"""Voxels along x and y of slices that label maps are made in."""


def working_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Voxels along x, y, z in which the label maps of a field of view are made."""
    x, y, z = shape
    return min(x, LARGEST_SLICE), min(y, LARGEST_SLICE), z


def to_working_size(label: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Label map ``(X, Y, Z)`` with slices of ``shape``; each voxel takes the label at its middle."""
    x, y, z = shape
    if label.shape == (x, y, z):
        return label
    resized = functional.interpolate(label.float()[None, None], size=(x, y, z), mode="nearest-exact")
    return resized[0, 0].to(label.dtype)


def to_full_size(logits: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Logits ``(K, x, y, z)`` on a field of view ``shape``, so that borders are smooth between working voxels."""
    x, y, z = shape
    if logits.shape[1:] == (x, y, z):
        return logits
    return functional.interpolate(logits[None].float(), size=(x, y, z), mode="trilinear", align_corners=False)[0]
