"""Autoencoder of label maps whose latent is known beforehand: codes of the labels, averaged over blocks of voxels."""

from __future__ import annotations

import torch
from monai.networks.nets.autoencoderkl import AEKLResBlock
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import nn
from torch.nn import functional

from synthaug.networks.voxel_norm import VoxelNorm, normalise_each_voxel

FIRST_SHARPNESS = 8.0

COUNTING_SHARPNESS = 16.0
"""At which the voxels of each label are told from the latents of real label maps to within a per cent."""


class LabelAutoencoder(nn.Module):
    """Compress an integer label map to a continuous latent and back to class logits.

    Every label has a code, a point on the unit sphere of the latent space, as far from the others as there is room. A
    latent voxel is the mean of the codes of its 2x2x2 voxels, so that it tells how much of each label it holds, and
    nothing has to be learned for that. The decoder begins as the nearest code of the interpolated latent, and learns
    where in a latent voxel the borders run, which its neighbours tell.

    Beside the KL autoencoder of Ruschke et al. this keeps latents that mean the same in every generator, in which the
    volume of a structure is linear, and whose decoder can be trained without the diffusion model on top of them.

    Args:
        num_classes: number of label values, background included.
        latent_channels: channels of the latent.
        channels: channels of the decoder, which works on the grid of the latent.
        num_res_blocks: residual blocks of the decoder.
    """

    downsampling = 2

    def __init__(
        self, num_classes: int, *, latent_channels: int = 8, channels: int = 32, num_res_blocks: int = 3
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.latent_channels = latent_channels
        self.codes: torch.Tensor
        self.register_buffer("codes", spread_codes(num_classes, latent_channels))
        self.decision_offset: torch.Tensor
        self.register_buffer("decision_offset", torch.zeros(num_classes))
        self.sharpness = nn.Parameter(torch.tensor(FIRST_SHARPNESS))
        blocks = [
            AEKLResBlock(3, channels, norm_num_groups=1, norm_eps=1e-6, out_channels=channels)
            for _ in range(num_res_blocks)
        ]
        self.decoder = nn.Sequential(nn.Conv3d(latent_channels, channels, 3, padding=1), *blocks, VoxelNorm(channels))
        normalise_each_voxel(self.decoder)
        self.head = nn.Conv3d(channels, num_classes * self.downsampling**3, kernel_size=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def encode(self, label: torch.Tensor) -> torch.Tensor:
        """Latent ``(B, C, X / 2, Y / 2, Z / 2)`` of a ``(B, X, Y, Z)`` label map."""
        return functional.embedding(self.fold(label), self.codes).mean(1).movedim(-1, 1)

    def decode_folded(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, classes, 8, X / 2, Y / 2, Z / 2)``; axis 2 runs over the voxels of each 2x2x2 block."""
        learned = self.head(functional.silu(self.decoder(latent)))
        return learned.unflatten(1, (self.num_classes, -1)) + self._code_logits(latent)

    def _code_logits(self, latent: torch.Tensor) -> torch.Tensor:
        """The nearer the interpolated latent is to a label's code, the more likely the label is."""
        fine = functional.interpolate(latent, scale_factor=self.downsampling, mode="trilinear")
        fine = pixelunshuffle(fine, spatial_dims=3, scale_factor=self.downsampling)
        fine = fine.unflatten(1, (self.latent_channels, -1))
        return self.sharpness * torch.einsum("bckxyz,nc->bnkxyz", fine, self.codes.to(fine.dtype))

    def decision_logits(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, classes, 8, X / 2, Y / 2, Z / 2)`` float32 whose maximum is the label to decide for.

        Weighting the cross-entropy by class makes rare structures too likely, hence too large; ``decision_offset``
        takes that back where it matters, at the decision (logit adjustment, Menon et al. 2021).
        """
        return self.decode_folded(latent).float() - self.decision_offset.float().view(1, -1, 1, 1, 1, 1)

    def decode_label(self, latent: torch.Tensor) -> torch.Tensor:
        """Most probable label map, ``(B, X, Y, Z)`` integers."""
        return self.unfold(self.decision_logits(latent).argmax(dim=1))

    def expected_voxels(self, latent: torch.Tensor) -> torch.Tensor:
        """Voxels that each label is going to have, ``(B, classes)``, told from a latent without decoding it.

        Each latent voxel is shared among the labels by how near their codes are. Where a border runs through it, the
        shares are those of the labels' voxels.
        """
        likeness = COUNTING_SHARPNESS * torch.einsum("bcxyz,nc->bnxyz", latent, self.codes.to(latent.dtype))
        return likeness.softmax(dim=1).sum(dim=(2, 3, 4)) * self.downsampling**3

    @classmethod
    def fold(cls, label: torch.Tensor) -> torch.Tensor:
        """Bring a ``(B, X, Y, Z)`` label map to the block layout of :meth:`decode_folded`, ``(B, 8, X/2, Y/2,
        Z/2)``.
        """
        return pixelunshuffle(label.unsqueeze(1), spatial_dims=3, scale_factor=cls.downsampling)

    @classmethod
    def unfold(cls, folded: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`fold`."""
        return pixelshuffle(folded.float(), spatial_dims=3, scale_factor=cls.downsampling).squeeze(1).long()


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
