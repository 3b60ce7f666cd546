"""Convolutions of volumes that are two voxels thin, in full precision: in bfloat16 their gradients can be garbage.

oneDNN's gradient of the weights of a 3x3x3 convolution in bfloat16 is wrong, up to values that are not finite, where
the first axis of the volume has two voxels, as in the deepest level of a U-Net on a small field of view.
"""

from __future__ import annotations

import torch
from torch import nn

THIN = 2
"""Voxels along the first axis up to which volumes are convolved in full precision; they cost next to nothing."""


class ThinSafeConv3d(nn.Conv3d):
    """A convolution that leaves automatic mixed precision on a CPU where a volume is thin."""

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Convolve ``(B, C, x, y, z)``; float32 where x is at most `THIN`."""
        if volume.device.type != "cpu" or volume.shape[2] > THIN:
            return super().forward(volume)
        with torch.autocast("cpu", enabled=False):
            return super().forward(volume.float())


def guard_thin_convolutions(network: nn.Module) -> None:
    """Make all convolutions of volumes in a network such ones; weights and their names stay as they are."""
    for module in network.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = ThinSafeConv3d
