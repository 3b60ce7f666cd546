"""Velocity network of the mask latent diffusion model, conditioned on structure volumes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DiffusionModelUNet
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import nn

from synthaug.networks.condition_encoder import ConditionEncoder
from synthaug.networks.rectified_flow import TIME_SCALE

LEAST_NOISE = 0.05
"""Noise fraction below which a velocity is no longer divided by it."""


class MaskDiffusionUNet(nn.Module):
    """Diffusion U-Net on label-map latents (Ruschke et al., with more controls than one).

    The condition enters twice: as cross-attention tokens, and as constant input channels, which a small network
    learns to obey within far fewer steps.

    Args:
        latent_channels: channels of the label-map latent.
        num_controls: number of volume controls.
        channels: channels of each level; every level but the last halves the grid.
        attention_levels: levels with self- and cross-attention.
        num_res_blocks: residual blocks in each level.
        condition_dimension: size of a condition token.
        head_channels: channels of an attention head.
        norm_groups: groups of the group norms.
        patch: edge length, in latent voxels, of the blocks that are folded into channels before the first layer: fine
            latents at the cost of coarse ones.
        predicts_data: the U-Net gives the clean latent, from which the velocity follows. A folded block holds more
            noise than a narrow layer can pass on, but little that is not noise (Li and He 2025).
    """

    def __init__(
        self,
        latent_channels: int,
        num_controls: int,
        *,
        channels: Sequence[int] = (64, 128, 128),
        attention_levels: Sequence[bool] = (False, True, True),
        num_res_blocks: int = 1,
        condition_dimension: int = 64,
        head_channels: int = 32,
        norm_groups: int = 16,
        patch: int = 1,
        predicts_data: bool = False,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.predicts_data = predicts_data
        self.condition_encoder = ConditionEncoder(num_controls, condition_dimension)
        self.unet = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=latent_channels * patch**3 + 2 * num_controls,
            out_channels=latent_channels * patch**3,
            channels=channels,
            attention_levels=attention_levels,
            num_res_blocks=[num_res_blocks] * len(channels),
            num_head_channels=[head_channels if attends else 0 for attends in attention_levels],
            norm_num_groups=norm_groups,
            with_conditioning=True,
            cross_attention_dim=condition_dimension,
            use_flash_attention=True,
        )

    def forward(self, latent: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Velocity of ``(B, C, x, y, z)`` noisy latents at times ``(B,)`` in 0 (data) to 1000 (noise).

        Args:
            latent: noisy latents.
            time: 1000 times the noise fraction.
            condition: ``(B, controls, 2)`` from :func:`condition_vector`; zeros are the null condition.
        """
        folded = pixelunshuffle(latent, spatial_dims=3, scale_factor=self.patch) if self.patch > 1 else latent
        planes = condition.flatten(1)[:, :, None, None, None].expand(-1, -1, *folded.shape[2:]).to(latent.dtype)
        given = self.unet(torch.cat([folded, planes], dim=1), time, context=self.condition_encoder(condition))
        if self.patch > 1:
            given = pixelshuffle(given, spatial_dims=3, scale_factor=self.patch)
        if not self.predicts_data:
            return given
        fraction = (time / TIME_SCALE).clamp(min=LEAST_NOISE).view(-1, 1, 1, 1, 1)
        return (latent - given.to(fraction.dtype)) / fraction
