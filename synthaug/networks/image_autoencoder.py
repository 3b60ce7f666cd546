"""KL autoencoder of images whose decoder is normalised by the label map at full resolution (SPADE)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from monai.networks.nets import SPADEAutoencoderKL
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import nn

from synthaug.networks.label_encoder import LabelEncoder
from synthaug.networks.label_modulation import modulate_by_label
from synthaug.networks.voxel_norm import normalise_each_voxel

STEM_FACTOR = 2

FIRST_LOG_VARIANCE = -6.0
"""Of a fresh encoder's posterior: where there is as much noise as signal, a decoder learns to do without the latent."""

EVERYTHING = 2**20
"""A reach beyond any volume."""


class ImageAutoencoder(nn.Module):
    """Compress an image to a latent; decode it together with its label map.

    Since the decoder sees every voxel of the label map, borders in the image follow borders in the label map, and the
    latent is left with contrast and texture.

    Args:
        image_channels: channels of the image.
        num_classes: number of label values, background included.
        embedding_channels: channels of one voxel's label embedding.
        label_channels: channels of the folded label map that SPADE sees.
        channels: channels of each level; every level but the last halves the grid.
        latent_channels: channels of the latent.
        num_res_blocks: residual blocks in each level.
        norm_groups: groups of the group norms; 0 normalises each voxel over its channels, so that crops and whole
            volumes are treated alike.
        decoder_norm_groups: the same for the decoder alone; None: as ``norm_groups``.
    """

    def __init__(
        self,
        image_channels: int,
        num_classes: int,
        *,
        embedding_channels: int = 6,
        label_channels: int = 16,
        channels: Sequence[int] = (32, 64),
        latent_channels: int = 4,
        num_res_blocks: int = 1,
        norm_groups: int = 0,
        decoder_norm_groups: int | None = None,
    ) -> None:
        super().__init__()
        folded_channels = image_channels * STEM_FACTOR**3
        self.latent_channels = latent_channels
        self.downsampling = STEM_FACTOR * 2 ** (len(channels) - 1)
        self.label_encoder = LabelEncoder(
            num_classes, factor=STEM_FACTOR, embedding_channels=embedding_channels, out_channels=label_channels
        )
        self.autoencoder = SPADEAutoencoderKL(
            spatial_dims=3,
            label_nc=label_channels,
            in_channels=folded_channels,
            out_channels=folded_channels,
            channels=channels,
            num_res_blocks=[num_res_blocks] * len(channels),
            attention_levels=[False] * len(channels),
            latent_channels=latent_channels,
            norm_num_groups=norm_groups or 1,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
            spade_intermediate_channels=label_channels,
        )
        if norm_groups == 0:
            normalise_each_voxel(self.autoencoder.encoder)
        if (norm_groups if decoder_norm_groups is None else decoder_norm_groups) == 0:
            normalise_each_voxel(self.autoencoder.decoder)
        modulate_by_label(self.autoencoder.decoder)
        nn.init.constant_(self.autoencoder.quant_conv_log_sigma.conv.bias, FIRST_LOG_VARIANCE)

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior mean and standard deviation, each ``(B, c, X / d, Y / d, Z / d)``, of a ``(B, C, X, Y, Z)``
        image.
        """
        return self.autoencoder.encode(pixelunshuffle(image, spatial_dims=3, scale_factor=STEM_FACTOR))

    def decode(self, latent: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Image ``(B, C, X, Y, Z)`` of a latent and its ``(B, X, Y, Z)`` label map."""
        folded = self.autoencoder.decode(latent, self.label_encoder(label))
        return pixelshuffle(folded, spatial_dims=3, scale_factor=STEM_FACTOR)

    @cached_property
    def decoder_reach(self) -> int:
        """How many voxels away latent and label map can be to matter for a voxel of the image; at least so many.

        Found by decoding a strip that is not a number at one end. With group norms everything matters.
        """
        factor = self.downsampling
        for length in (16, 32, 64, 128):
            like = next(self.parameters())
            latent = like.new_zeros(1, self.latent_channels, length, 2, 2)
            label = torch.zeros(1, length * factor, 2 * factor, 2 * factor, dtype=torch.long, device=like.device)
            with torch.inference_mode(), torch.autocast(like.device.type, enabled=False):
                features = self.label_encoder(label)
                latent[:, :, -1] = torch.nan
                features[:, :, -factor // STEM_FACTOR :] = torch.nan
                image = pixelshuffle(
                    self.autoencoder.decode(latent, features), spatial_dims=3, scale_factor=STEM_FACTOR
                )
            unknown = int(image.isnan().any(dim=1).any(dim=-1).any(dim=-1).sum())
            if unknown < length * factor:
                return unknown - factor
        return EVERYTHING


def kl_divergence(mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """KL divergence of the posterior from a standard normal, in nats per latent element."""
    variance = std.float().square()
    return 0.5 * (mean.float().square() + variance - torch.log(variance + 1e-8) - 1).mean()
