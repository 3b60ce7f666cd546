"""Velocity network on latents of the KL label-map autoencoder, conditioned on structure volumes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import nn

from synthaug.networks.condition_encoder import ConditionEncoder


class KLMaskDiffusionUNet(nn.Module):
    """What :class:`MaskDiffusionUNet` replaced, for weights that were fitted with it: velocities, learned from nothing.

    Args:
        latent_channels: channels of the label-map latent.
        num_controls: number of volume controls.
        channels: channels of each level; every level but the last halves the grid.
        attention_levels: levels with self- and cross-attention.
        num_res_blocks: residual blocks in each level.
        condition_dimension: size of a condition token.
        head_channels: channels of an attention head.
        norm_groups: groups of the group norms.
    """

    patch = 1

    def __init__(
        self,
        latent_channels: int,
        num_controls: int,
        *,
        channels: Sequence[int],
        attention_levels: Sequence[bool],
        num_res_blocks: int,
        condition_dimension: int,
        head_channels: int,
        norm_groups: int,
    ) -> None:
        super().__init__()
        self.condition_encoder = ConditionEncoder(num_controls, condition_dimension)
        self.unet = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=latent_channels + 2 * num_controls,
            out_channels=latent_channels,
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
        """See :meth:`MaskDiffusionUNet.forward`."""
        planes = condition.flatten(1)[:, :, None, None, None].expand(-1, -1, *latent.shape[2:]).to(latent.dtype)
        return self.unet(torch.cat([latent, planes], dim=1), time, context=self.condition_encoder(condition))
