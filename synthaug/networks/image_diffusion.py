"""Velocity network of the SPADE image latent diffusion model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import SPADEDiffusionModelUNet
from torch import nn

from synthaug.networks.label_encoder import LabelEncoder
from synthaug.networks.label_modulation import modulate_by_label
from synthaug.networks.rectified_flow import TIME_SCALE
from synthaug.networks.voxel_norm import normalise_each_voxel


class ImageDiffusionUNet(nn.Module):
    """SPADE diffusion U-Net on image latents, conditioned on the full-resolution label map (Ruschke et al.).

    Args:
        latent_channels: channels of the image latent.
        num_classes: number of label values, background included.
        downsampling: edge length, in image voxels, of a latent voxel.
        embedding_channels: channels of one voxel's label embedding.
        label_channels: channels of the encoded label map that SPADE and the first layer see.
        channels: channels of each level; every level but the last halves the grid.
        num_res_blocks: residual blocks in each level.
        norm_groups: groups of the group norms; 0 normalises each voxel over its channels, so that crops and whole
            volumes are treated alike.
        preconditioned: whether the U-Net learns what a noisy voxel of scaled latents does not tell by itself, in units
            of that estimate's error (Karras et al. 2022), instead of the velocity.
    """

    def __init__(
        self,
        latent_channels: int,
        num_classes: int,
        downsampling: int,
        *,
        embedding_channels: int = 4,
        label_channels: int = 24,
        channels: Sequence[int] = (32, 64, 128),
        num_res_blocks: int = 1,
        norm_groups: int = 0,
        preconditioned: bool = False,
    ) -> None:
        super().__init__()
        self.preconditioned = preconditioned
        self.levels = len(channels)
        self.label_encoder = LabelEncoder(
            num_classes, factor=downsampling, embedding_channels=embedding_channels, out_channels=label_channels
        )
        self.unet = SPADEDiffusionModelUNet(
            spatial_dims=3,
            in_channels=latent_channels + label_channels,
            out_channels=latent_channels,
            label_nc=label_channels,
            channels=channels,
            attention_levels=[False] * len(channels),
            num_res_blocks=[num_res_blocks] * len(channels),
            norm_num_groups=norm_groups or 1,
            spade_intermediate_channels=label_channels,
        )
        if norm_groups == 0:
            normalise_each_voxel(self.unet)
        modulate_by_label(self.unet)

    def forward(self, latent: torch.Tensor, time: torch.Tensor, label_features: torch.Tensor) -> torch.Tensor:
        """Velocity of ``(B, C, x, y, z)`` noisy latents at times ``(B,)`` in 0 (data) to 1000 (noise).

        ``label_features`` come from ``self.label_encoder(label)``: they are the same at every step of a sample.
        """
        if not self.preconditioned:
            return self._unet(latent, time, label_features)
        noise = (time / TIME_SCALE).view(-1, 1, 1, 1, 1).to(latent.device)
        deviation = ((1 - noise) ** 2 + noise**2).sqrt()
        learned = self._unet(latent / deviation, time, label_features).float()
        return ((2 * noise - 1) * latent / deviation + learned) / deviation

    def _unet(self, latent: torch.Tensor, time: torch.Tensor, label_features: torch.Tensor) -> torch.Tensor:
        return self.unet(torch.cat([latent, label_features.to(latent.dtype)], dim=1), time, seg=label_features)
