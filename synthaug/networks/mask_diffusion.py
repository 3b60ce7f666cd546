"""Velocity network of the mask latent diffusion model, conditioned on structure volumes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import nn

from synthaug.networks.condition_encoder import ConditionEncoder
from synthaug.networks.rectified_flow import LEAST_NOISE, TIME_SCALE
from synthaug.networks.voxel_norm import normalise_each_voxel

CAUTION = 4.0
"""Factor by which noise is taken to be stronger than it is; see :class:`MaskDiffusionUNet`."""


class MaskDiffusionUNet(nn.Module):
    """Diffusion U-Net on label-map latents (Ruschke et al., with more controls than one) that begins as a denoiser.

    Heads of one field of view are alike: where a voxel lies tells most of what it holds. Mean and deviation of the
    training latents, voxel by voxel, give an estimate of a noisy voxel from that voxel alone; the U-Net learns what is
    left, in units of that estimate's error (the preconditioning of Karras et al. 2022, with the place in the head
    told). Fresh weights already give a mean head, and no step is spent on learning it.

    The estimate takes the noise to be ``CAUTION`` times as strong as it is, so that hardly any of it passes: there is
    more noise in it than a narrow network could take back, but little else (Li and He 2025).

    The condition enters twice: as cross-attention tokens, and as constant input channels, which a small network
    learns to obey within far fewer steps.

    Args:
        latent_channels: channels of the label-map latent.
        num_controls: number of volume controls.
        grid: voxels of the latent along x, y, z.
        channels: channels of each level; every level but the last halves the grid.
        attention_levels: levels with self- and cross-attention.
        num_res_blocks: residual blocks in each level.
        condition_dimension: size of a condition token.
        head_channels: channels of an attention head.
    """

    def __init__(
        self,
        latent_channels: int,
        num_controls: int,
        grid: Sequence[int],
        *,
        channels: Sequence[int] = (64, 128, 192),
        attention_levels: Sequence[bool] = (False, False, True),
        num_res_blocks: int = 1,
        condition_dimension: int = 64,
        head_channels: int = 32,
    ) -> None:
        super().__init__()
        self.levels = len(channels)
        self.prior_mean: torch.Tensor
        self.register_buffer("prior_mean", torch.zeros(1, latent_channels, *grid))
        self.prior_deviation: torch.Tensor
        self.register_buffer("prior_deviation", torch.ones(1, 1, *grid))
        self.condition_encoder = ConditionEncoder(num_controls, condition_dimension)
        self.unet = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=2 * latent_channels + 2 * num_controls,
            out_channels=latent_channels,
            channels=channels,
            attention_levels=attention_levels,
            num_res_blocks=[num_res_blocks] * len(channels),
            num_head_channels=[head_channels if attends else 0 for attends in attention_levels],
            norm_num_groups=1,
            with_conditioning=True,
            cross_attention_dim=condition_dimension,
            use_flash_attention=True,
        )
        normalise_each_voxel(self.unet)

    def forward(self, latent: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Velocity of ``(B, C, x, y, z)`` noisy latents at times ``(B,)`` in 0 (data) to 1000 (noise).

        Args:
            latent: noisy latents, scaled.
            time: 1000 times the noise fraction.
            condition: ``(B, controls, 2)`` from :func:`condition_vector`; zeros are the null condition.
        """
        noise = (time / TIME_SCALE).view(-1, 1, 1, 1, 1)
        mean, deviation = self.prior_mean.float(), self.prior_deviation.float()
        offset = latent - (1 - noise) * mean
        learned = self._unet(offset / self.state_deviation(noise), time, condition)
        share = (1 - noise) * deviation**2 / (((1 - noise) * deviation) ** 2 + (CAUTION * noise) ** 2)
        error = (((1 - share * (1 - noise)) * deviation) ** 2 + (share * noise) ** 2).sqrt()
        data = mean + share * offset + error * learned
        return (latent - data) / noise.clamp(min=LEAST_NOISE)

    def state_deviation(self, noise: torch.Tensor) -> torch.Tensor:
        """Deviation ``(B, 1, x, y, z)`` of noisy latents from the mean head at noise fractions ``(B, 1, 1, 1, 1)``."""
        return (((1 - noise) * self.prior_deviation.float()) ** 2 + noise**2).sqrt()

    def set_prior(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        """Take over the mean ``(1, C, x, y, z)`` and deviation ``(1, 1, x, y, z)`` of the scaled training latents."""
        self.prior_mean.copy_(mean)
        self.prior_deviation.copy_(deviation)

    def _unet(self, residual: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        count, size = len(residual), residual.shape[2:]
        place = self.prior_mean.expand(count, -1, -1, -1, -1).to(residual.dtype)
        planes = condition.flatten(1)[:, :, None, None, None].expand(-1, -1, *size).to(residual.dtype)
        known = torch.cat([residual, place, planes], dim=1)
        return self.unet(known, time, context=self.condition_encoder(condition)).float()
