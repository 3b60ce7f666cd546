"""KL autoencoder of label maps (Ruschke et al.: learned label embedding in front of a KL autoencoder)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import AutoencoderKL
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import nn
from torch.nn import functional

from synthaug.networks.label_encoder import LabelEncoder
from synthaug.networks.voxel_norm import normalise_each_voxel

STEM_FACTOR = 2
FIRST_SHARPNESS = 8.0
FIRST_LOG_VARIANCE = -7.0


class LabelAutoencoder(nn.Module):
    """Compress an integer label map to a continuous latent and back to class logits.

    The first and last layers fold blocks of 2x2x2 voxels into channels (label maps are piecewise constant), so that
    the convolutions run on an eighth of the voxels.

    With ``codes``, two paths without convolutions run beside the learned ones. Every label has a code, a point in the
    latent space; a latent voxel begins as the mean of its voxels' codes, and the decoder as the nearest code of the
    interpolated latent. The learned paths add what is smaller than a latent voxel. That alone, before any training,
    brings most of a label map back, and the volume of a structure is nearly linear in the latents.

    Args:
        num_classes: number of label values, background included.
        embedding_channels: channels of one voxel's label embedding.
        channels: channels of each level; every level but the last halves the grid.
        latent_channels: channels of the latent.
        num_res_blocks: residual blocks in each level.
        norm_groups: groups of the group norms; 0 normalises each voxel over its channels, so that crops and whole
            volumes are treated alike.
        codes: add the paths without convolutions.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        embedding_channels: int = 6,
        channels: Sequence[int] = (32, 64, 128),
        latent_channels: int = 8,
        num_res_blocks: int = 1,
        norm_groups: int = 0,
        codes: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.latent_channels = latent_channels
        self.downsampling = STEM_FACTOR * 2 ** (len(channels) - 1)
        self.stem = LabelEncoder(
            num_classes, factor=STEM_FACTOR, embedding_channels=embedding_channels, out_channels=channels[0]
        )
        self.autoencoder = AutoencoderKL(
            spatial_dims=3,
            in_channels=channels[0],
            out_channels=channels[0],
            channels=channels,
            num_res_blocks=[num_res_blocks] * len(channels),
            attention_levels=[False] * len(channels),
            latent_channels=latent_channels,
            norm_num_groups=norm_groups or 1,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )
        if norm_groups == 0:
            normalise_each_voxel(self.autoencoder)
        self.head = nn.Conv3d(channels[0], num_classes * STEM_FACTOR**3, kernel_size=1)
        self.decision_offset: torch.Tensor
        self.register_buffer("decision_offset", torch.zeros(num_classes))
        self.codes = nn.Parameter(spread_codes(num_classes, latent_channels)) if codes else None
        if self.codes is not None:
            self.sharpness = nn.Parameter(torch.tensor(FIRST_SHARPNESS))
            for layer in (self.head, self.autoencoder.quant_conv_mu, self.autoencoder.quant_conv_log_sigma):
                for parameter in layer.parameters():
                    nn.init.zeros_(parameter)
            nn.init.constant_(self.autoencoder.quant_conv_log_sigma.conv.bias, FIRST_LOG_VARIANCE)

    def encode(self, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior mean and standard deviation, each ``(B, C, X / d, Y / d, Z / d)``, of a ``(B, X, Y, Z)`` label
        map.
        """
        mean, std = self.autoencoder.encode(self.stem(label))
        if self.codes is not None:
            codes = functional.embedding(label, self.codes).movedim(-1, 1)
            mean = mean + functional.avg_pool3d(codes, self.downsampling)
        return mean, std

    def decode_folded(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, classes, 8, X / 2, Y / 2, Z / 2)``; axis 2 runs over the voxels of each 2x2x2 block."""
        folded = self.head(functional.silu(self.autoencoder.decode(latent)))
        logits = folded.unflatten(1, (self.num_classes, STEM_FACTOR**3))
        return logits if self.codes is None else logits + self._code_logits(latent, self.codes)

    def _code_logits(self, latent: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """The nearer the interpolated latent is to a label's code, the more likely the label is."""
        fine = functional.interpolate(latent, scale_factor=self.downsampling, mode="trilinear")
        fine = pixelunshuffle(fine, spatial_dims=3, scale_factor=STEM_FACTOR).unflatten(1, (-1, STEM_FACTOR**3))
        likeness = 2 * torch.einsum("bckxyz,nc->bnkxyz", fine, codes.to(fine.dtype))
        return self.sharpness * (likeness - codes.square().sum(1).view(1, -1, 1, 1, 1, 1))

    def decode_label(self, latent: torch.Tensor) -> torch.Tensor:
        """Most probable label map, ``(B, X, Y, Z)`` integers.

        Weighting the cross-entropy by class makes rare structures too likely, hence too large; ``decision_offset``
        takes
        that back where it matters, at the decision (logit adjustment, Menon et al. 2021).
        """
        logits = self.decode_folded(latent)
        best = (logits - self.decision_offset.to(logits.dtype).view(1, -1, 1, 1, 1, 1)).argmax(dim=1)
        return pixelshuffle(best.float(), spatial_dims=3, scale_factor=STEM_FACTOR).squeeze(1).long()

    @staticmethod
    def fold(label: torch.Tensor) -> torch.Tensor:
        """Bring a ``(B, X, Y, Z)`` label map to the block layout of :meth:`decode_folded`, ``(B, 8, X/2, Y/2,
        Z/2)``.
        """
        return pixelunshuffle(label.unsqueeze(1), spatial_dims=3, scale_factor=STEM_FACTOR)


def spread_codes(count: int, dimensions: int, *, rounds: int = 500, rate: float = 0.05) -> torch.Tensor:
    """Unit vectors ``(count, dimensions)`` that repel each other; the same ones every time."""
    codes = functional.normalize(torch.randn(count, dimensions, generator=torch.Generator().manual_seed(0)), dim=1)
    others = ~torch.eye(count, dtype=torch.bool)
    for _ in range(rounds):
        push = torch.where(others, torch.exp(8 * (codes @ codes.T)), 0.0)
        codes = functional.normalize(codes - rate * (push / push.sum(1, keepdim=True)) @ codes, dim=1)
    return codes


DECISION_SHARE = 0.3
"""Share of the logarithm of the class weights that is taken back; the Dice term needs none of it. Tuned by the
volumes of held-out maps.
"""


def decision_offset(class_weights: torch.Tensor) -> torch.Tensor:
    """Offset ``(classes,)`` of the logits that undoes the class weights at the decision."""
    return DECISION_SHARE * torch.log(class_weights.clamp(min=1e-3))


def label_reconstruction_loss(
    logits: torch.Tensor, folded_label: torch.Tensor, class_weights: torch.Tensor
) -> torch.Tensor:
    """Class-weighted cross-entropy plus soft Dice over the classes that occur in the batch.

    Args:
        logits: ``(B, classes, 8, x, y, z)`` from :meth:`LabelAutoencoder.decode_folded`.
        folded_label: ``(B, 8, x, y, z)`` integers.
        class_weights: ``(classes,)``; small structures vanish without them.
    """
    log_probability = functional.log_softmax(logits.float(), dim=1)
    cross_entropy = functional.nll_loss(log_probability, folded_label, weight=class_weights)
    probability = log_probability.exp()
    target = functional.one_hot(folded_label, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    axes = (0, *range(2, logits.ndim))
    overlap, size = (probability * target).sum(axes), target.sum(axes)
    dice = (2 * overlap + 1) / (probability.sum(axes) + size + 1)
    present = size[1:] > 0
    dice_loss = 1 - dice[1:][present].mean() if bool(present.any()) else dice.sum() * 0
    return cross_entropy + dice_loss


def kl_divergence(mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """KL divergence of the posterior from a standard normal, in nats per latent element."""
    variance = std.float().square()
    return 0.5 * (mean.float().square() + variance - torch.log(variance + 1e-8) - 1).mean()
