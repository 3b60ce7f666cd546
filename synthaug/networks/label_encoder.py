"""Full-resolution label maps brought to a coarser grid without losing a voxel: learned embedding, then
space-to-depth.
"""

from __future__ import annotations

import torch
from monai.networks.utils import pixelunshuffle
from torch import nn


class LabelEncoder(nn.Module):
    """Encode an integer label map on a grid ``factor`` times coarser.

    Nearest-neighbour downsampling loses whatever is smaller than a coarse voxel. Here every voxel of the label map
    reaches the output: each label is embedded, the ``factor ** 3`` voxels of a block are stacked as channels, and a
    1x1x1 convolution mixes them.

    Args:
        num_classes: number of label values, background included.
        factor: edge length of a block in voxels; every spatial size must be a multiple of it.
        embedding_channels: channels of one voxel's embedding.
        out_channels: channels of the output.
    """

    def __init__(self, num_classes: int, *, factor: int, embedding_channels: int, out_channels: int) -> None:
        super().__init__()
        self.factor = factor
        self.embedding = nn.Embedding(num_classes, embedding_channels)
        self.mix = nn.Conv3d(embedding_channels * factor**3, out_channels, kernel_size=1)

    def forward(self, label: torch.Tensor) -> torch.Tensor:
        """Map ``(B, X, Y, Z)`` integers to ``(B, out_channels, X / factor, Y / factor, Z / factor)``."""
        embedded = self.embedding(label).movedim(-1, 1)
        return self.mix(pixelunshuffle(embedded, spatial_dims=3, scale_factor=self.factor))
