"""KL autoencoder of label maps (Ruschke et al.: learned label embedding in front of a KL autoencoder)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import AutoencoderKL
from torch import nn
from torch.nn import functional

from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.label_encoder import LabelEncoder


class KLLabelAutoencoder(nn.Module):
    """What :class:`LabelAutoencoder` replaced, for weights that were fitted with it: coarser latents, all learned.

    Args:
        num_classes: number of label values, background included.
        embedding_channels: channels of one voxel's label embedding.
        channels: channels of each level; every level but the last halves the grid.
        latent_channels: channels of the latent.
        num_res_blocks: residual blocks in each level.
        norm_groups: groups of the group norms.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        embedding_channels: int,
        channels: Sequence[int],
        latent_channels: int,
        num_res_blocks: int,
        norm_groups: int,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.latent_channels = latent_channels
        self.downsampling = LabelAutoencoder.downsampling * 2 ** (len(channels) - 1)
        self.stem = LabelEncoder(
            num_classes,
            factor=LabelAutoencoder.downsampling,
            embedding_channels=embedding_channels,
            out_channels=channels[0],
        )
        self.autoencoder = AutoencoderKL(
            spatial_dims=3,
            in_channels=channels[0],
            out_channels=channels[0],
            channels=channels,
            num_res_blocks=[num_res_blocks] * len(channels),
            attention_levels=[False] * len(channels),
            latent_channels=latent_channels,
            norm_num_groups=norm_groups,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )
        self.head = nn.Conv3d(channels[0], num_classes * LabelAutoencoder.downsampling**3, kernel_size=1)
        self.decision_offset: torch.Tensor
        self.register_buffer("decision_offset", torch.zeros(num_classes))

    def encode(self, label: torch.Tensor) -> torch.Tensor:
        """Posterior mean ``(B, C, X / d, Y / d, Z / d)`` of a ``(B, X, Y, Z)`` label map."""
        mean, _ = self.autoencoder.encode(self.stem(label))
        return mean

    def decision_logits(self, latent: torch.Tensor) -> torch.Tensor:
        """See :meth:`LabelAutoencoder.decision_logits`."""
        folded = self.head(functional.silu(self.autoencoder.decode(latent))).float()
        return folded.unflatten(1, (self.num_classes, -1)) - self.decision_offset.float().view(1, -1, 1, 1, 1, 1)

    def decode_label(self, latent: torch.Tensor) -> torch.Tensor:
        """Most probable label map, ``(B, X, Y, Z)`` integers."""
        return LabelAutoencoder.unfold(self.decision_logits(latent).argmax(dim=1))

    def expected_voxels(self, latent: torch.Tensor) -> torch.Tensor:
        """Voxels of each label, ``(B, classes)``; the latent is decoded for them, which takes its time."""
        labels = self.decision_logits(latent).argmax(dim=1).flatten(1)
        return torch.stack([torch.bincount(one, minlength=self.num_classes) for one in labels]).float()
