"""Levels of a label-map latent: means over blocks, and how the voxels of each block differ from them."""

from __future__ import annotations

import torch
from torch.nn import functional

BLOCK = 2
"""Edge of a block, in voxels of the finer level."""

DETAIL_LEVELS = 2
"""Levels above the coarsest one; the last is the latent itself."""


def coarsen(latent: torch.Tensor, times: int = 1) -> torch.Tensor:
    """Mean of each block of a ``(B, C, x, y, z)`` latent, a level down for each time."""
    return functional.avg_pool3d(latent, BLOCK**times) if times else latent


def spread(coarse: torch.Tensor) -> torch.Tensor:
    """Give each voxel of a block the block's mean: ``(B, C, x, y, z)`` to ``(B, C, 2x, 2y, 2z)``."""
    return functional.interpolate(coarse, scale_factor=BLOCK, mode="nearest")


def detail_of(latent: torch.Tensor) -> torch.Tensor:
    """What a ``(B, C, x, y, z)`` tensor adds to the means of its blocks; 0 on the mean over each."""
    return latent - spread(coarsen(latent))
