"""Two levels of a label-map latent: blocks of 2x2x2 latent voxels, and how the voxels of each block differ."""

from __future__ import annotations

import torch
from torch.nn import functional

BLOCK = 2


def coarsen(latent: torch.Tensor) -> torch.Tensor:
    """Mean ``(B, C, x / 2, y / 2, z / 2)`` of each block of a ``(B, C, x, y, z)`` latent."""
    return functional.avg_pool3d(latent, BLOCK)


def spread(coarse: torch.Tensor) -> torch.Tensor:
    """Give each voxel of a block the block's mean: ``(B, C, x, y, z)`` to ``(B, C, 2x, 2y, 2z)``."""
    return functional.interpolate(coarse, scale_factor=BLOCK, mode="nearest")


def detail_of(latent: torch.Tensor) -> torch.Tensor:
    """What a ``(B, C, x, y, z)`` tensor adds to the means of its blocks; 0 on the mean over each."""
    return latent - spread(coarsen(latent))
