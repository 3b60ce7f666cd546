"""The part of a volume that a ventricle warp may move: the brain with its sulci, or all that is no background."""

from __future__ import annotations

import torch
from torch.nn import functional

CLOSING_MM = 3.0
"""Gaps in the labels up to twice this wide (sulci without a label) belong to the head."""

SURROUNDINGS = 8.0
"""Labels that enclose less than this many times the structure's volume say nothing of the head around it."""


def movable_head(
    label: torch.Tensor, foreground: torch.Tensor, structure_ids: torch.Tensor, spacing_mm: float
) -> torch.Tensor:
    """Mask ``(X, Y, Z)`` of the head on an isotropic grid; the grid's outermost voxels are never part of it.

    Args:
        label: integer label map ``(X, Y, Z)``.
        foreground: boolean, where the image is not background; what counts where the labels leave the head out.
        structure_ids: ids of the structure that is to change its volume.
        spacing_mm: voxel edge.
    """
    labelled = label > 0
    head = _close(labelled, max(1, round(CLOSING_MM / spacing_mm)))
    if float(head.sum()) < SURROUNDINGS * float(torch.isin(label, structure_ids).sum()):
        head = labelled | foreground
    inner = torch.zeros_like(head)
    inner[1:-1, 1:-1, 1:-1] = head[1:-1, 1:-1, 1:-1]
    return inner


def _close(mask: torch.Tensor, radius: int) -> torch.Tensor:
    size = 2 * radius + 1
    padded = functional.pad(mask.float()[None, None], (radius,) * 6)
    for axis in range(3):  # a cube's dilation and erosion, one axis at a time
        padded = _extreme(padded, axis, size)
    for axis in range(3):
        padded = -_extreme(-padded, axis, size)
    inside = slice(radius, -radius)
    return padded[0, 0, inside, inside, inside] > 0.5


def _extreme(values: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    window = [size if axis == other else 1 for other in range(3)]
    return functional.max_pool3d(values, window, stride=1, padding=[edge // 2 for edge in window])
