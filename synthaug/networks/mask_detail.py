"""Velocity network of what the next finer level adds to a coarse label-map latent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DiffusionModelUNet
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import nn

from synthaug.networks.latent_pyramid import BLOCK
from synthaug.networks.rectified_flow import LEAST_NOISE, TIME_SCALE
from synthaug.networks.voxel_norm import normalise_each_voxel


class MaskDetailUNet(nn.Module):
    """Diffusion U-Net that adds to a coarse label-map latent what its blocks do not tell.

    The coarse latent says how much of each label every block holds; the detail says where in the block. It also mends
    the coarse latent, which as a sample of another network is undecided here and there: a block that is white matter
    with a thirtieth of fluid would have to hold an island otherwise. It depends on the neighbourhood alone: there is no
    attention and no condition, so that the network learns on crops and runs on whole heads.

    Args:
        latent_channels: channels of the label-map latent.
        channels: channels of each level; every level but the last halves the grid.
        num_res_blocks: residual blocks in each level.
    """

    def __init__(self, latent_channels: int, *, channels: Sequence[int] = (48, 96), num_res_blocks: int = 1) -> None:
        super().__init__()
        self.levels = len(channels)
        self.deviation: torch.Tensor
        self.register_buffer("deviation", torch.ones(()))
        self.unet = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=latent_channels * (BLOCK**3 + 1),
            out_channels=latent_channels * BLOCK**3,
            channels=channels,
            attention_levels=[False] * len(channels),
            num_res_blocks=[num_res_blocks] * len(channels),
            num_head_channels=list(channels),
            norm_num_groups=1,
        )
        self.unet.middle_block.attention = nn.Identity()  # the only one; it would see the whole head
        normalise_each_voxel(self.unet)

    def forward(self, detail: torch.Tensor, time: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Velocity of ``(B, C, 2x, 2y, 2z)`` noisy details at times ``(B,)`` in 0 (data) to 1000 (noise).

        Args:
            detail: noisy details, scaled.
            time: 1000 times the noise fraction.
            coarse: ``(B, C, x, y, z)`` coarse latents, scaled.
        """
        noise = (time / TIME_SCALE).view(-1, 1, 1, 1, 1)
        known = pixelunshuffle(detail / self.state_deviation(noise), spatial_dims=3, scale_factor=BLOCK)
        learned = self.unet(torch.cat([known, coarse.to(known.dtype)], dim=1), time)
        data = self.deviation * pixelshuffle(learned.float(), spatial_dims=3, scale_factor=BLOCK)
        return (detail - data) / noise.clamp(min=LEAST_NOISE)

    def state_deviation(self, noise: torch.Tensor) -> torch.Tensor:
        """Deviation of noisy details at noise fractions ``(B, 1, 1, 1, 1)``."""
        return (((1 - noise) * self.deviation.float()) ** 2 + noise**2).sqrt()
