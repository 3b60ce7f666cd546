"""Normalisation of each voxel over its channels, which gives a crop what it gives the whole volume."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class VoxelNorm(nn.Module):
    """Layer norm over the channels of each voxel.

    Group norm takes its statistics from all voxels at hand. A network that learns on crops and runs on whole volumes,
    three fifths of which are background, then meets other statistics than it was trained with, and a patch is decoded
    otherwise than as a part of the whole. Statistics of a single voxel know no such difference.

    Args:
        channels: of the input.
        affine: learn a gain and an offset for each channel.
    """

    EPSILON = 1e-5

    def __init__(self, channels: int, *, affine: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``(B, C, ...)``; channels last in memory is fastest."""
        last = x.movedim(1, -1)
        weight = None if self.weight is None else self.weight.to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return functional.layer_norm(last, last.shape[-1:], weight, bias, self.EPSILON).movedim(-1, 1)


def normalise_each_voxel(module: nn.Module) -> None:
    """Put a :class:`VoxelNorm` in the place of every group norm of a network."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, VoxelNorm(child.num_channels, affine=child.affine))
        else:
            normalise_each_voxel(child)
