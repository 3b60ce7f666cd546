"""Autoencoder of label maps whose latent is known beforehand: codes of the labels, averaged over blocks of voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.networks.nets.autoencoderkl import AEKLResBlock
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import nn
from torch.nn import functional

from synthaug.networks.latent_pyramid import BLOCK
from synthaug.networks.voxel_norm import VoxelNorm, normalise_each_voxel

FIRST_SHARPNESS = 8.0


class LabelAutoencoder(nn.Module):
    """Compress an integer label map to a continuous latent and back to class logits.

    Every label has a code, a corner of the regular simplex. A latent voxel is the mean of the codes of its 2x2x2
    voxels, which tells how much of each label it holds: nothing has to be learned for that, and the volumes of all
    structures are linear in the latent, at whatever size latent voxels are averaged to. The decoder begins as the
    nearest code of the interpolated latent, and learns where in a latent voxel the borders run, which its neighbours
    tell.

    Beside the KL autoencoder of Ruschke et al. this keeps latents that mean the same in every generator, and whose
    decoder can be trained without the diffusion model on top of them.

    Args:
        num_classes: number of label values, background included.
        channels: channels of the decoder, which works on the grid of the latent.
        num_res_blocks: residual blocks of the decoder.
    """

    downsampling = 2

    def __init__(self, num_classes: int, *, channels: int = 32, num_res_blocks: int = 3) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.latent_channels = num_classes - 1
        self.codes: torch.Tensor
        self.register_buffer("codes", simplex_codes(num_classes), persistent=False)
        self.decision_offset: torch.Tensor
        self.register_buffer("decision_offset", torch.zeros(num_classes))
        self.sharpness = nn.Parameter(torch.tensor(FIRST_SHARPNESS))
        blocks = [
            AEKLResBlock(3, channels, norm_num_groups=1, norm_eps=1e-6, out_channels=channels)
            for _ in range(num_res_blocks)
        ]
        self.decoder = nn.Sequential(
            nn.Conv3d(self.latent_channels, channels, 3, padding=1), *blocks, VoxelNorm(channels)
        )
        normalise_each_voxel(self.decoder)
        self.head = nn.Conv3d(channels, num_classes * self.downsampling**3, kernel_size=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def encode(self, label: torch.Tensor, *, coarser: int = 0) -> torch.Tensor:
        """Latent ``(B, C, X / 2, Y / 2, Z / 2)`` float32 of a ``(B, X, Y, Z)`` integer label map.

        Args:
            label: with ids below the number of classes.
            coarser: a coarser level of the latent: blocks of twice the edge each time.

        Raises:
            ValueError: an id that is no class.
        """
        edge = self.downsampling * BLOCK**coarser
        held = count_in_blocks(label, self.num_classes, edge).float() / edge**3
        with torch.autocast(label.device.type, enabled=False):  # rounding would add up to millilitres
            return torch.einsum("bnxyz,nc->bcxyz", held, self.codes.float())

    def decode_folded(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, classes, 8, X / 2, Y / 2, Z / 2)``; axis 2 runs over the voxels of each 2x2x2 block."""
        learned = self.head(functional.silu(self.decoder(latent)))
        return learned.unflatten(1, (self.num_classes, -1)) + self._code_logits(latent)

    def _code_logits(self, latent: torch.Tensor) -> torch.Tensor:
        """The nearer the interpolated latent is to a label's code, the more likely the label is."""
        with torch.autocast(latent.device.type, enabled=False):
            nearness = self.sharpness * torch.einsum("bcxyz,nc->bnxyz", latent.float(), self.codes.float())
        fine = functional.interpolate(nearness, scale_factor=self.downsampling, mode="trilinear")
        fine = pixelunshuffle(fine, spatial_dims=3, scale_factor=self.downsampling)
        return fine.unflatten(1, (self.num_classes, -1))

    def decision_logits(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, classes, 8, X / 2, Y / 2, Z / 2)`` float32 whose maximum is the label to decide for.

        Weighting the cross-entropy by class makes rare structures too likely, hence too large; ``decision_offset``
        takes that back where it matters, at the decision (logit adjustment, Menon et al. 2021).
        """
        return self.decode_folded(latent).float() - self.decision_offset.float().view(1, -1, 1, 1, 1, 1)

    def decode_label(self, latent: torch.Tensor) -> torch.Tensor:
        """Most probable label map, ``(B, X, Y, Z)`` integers."""
        return self.unfold(self.decision_logits(latent).argmax(dim=1))

    def label_shares(self, latent: torch.Tensor) -> torch.Tensor:
        """Share of the field of view that each label holds, ``(B, classes)``; see `shares_in_blocks`."""
        return self.shares_in_blocks(latent, latent.shape[2:]).flatten(1)

    def shares_in_blocks(self, latent: torch.Tensor, edges: Sequence[int]) -> torch.Tensor:
        """Share of each block of latent voxels that each label holds, ``(B, classes, x / edge, y / edge, z / edge)``.

        Told from a latent ``(B, C, x, y, z)`` of any level without decoding it: errors of zero mean add nothing to a
        large block's mean. Where that is no mixture of labels, the nearest one counts.
        """
        return nearest_mixture(self._held(functional.avg_pool3d(latent.double(), tuple(edges)))).float()

    def _held(self, latent: torch.Tensor) -> torch.Tensor:
        """Share of each label ``(B, classes, x, y, z)``; a mixture where the latent is one of codes."""
        with torch.autocast(latent.device.type, enabled=False):
            nearness = torch.einsum("bcxyz,nc->bnxyz", latent, self.codes.to(latent.dtype))
        return (nearness * (self.num_classes - 1) + 1) / self.num_classes

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


def count_in_blocks(label: torch.Tensor, num_classes: int, edge: int) -> torch.Tensor:
    """Voxels of each label in each block of a ``(B, X, Y, Z)`` label map, ``(B, classes, X / edge, Y / edge, Z /
    edge)``.
    """
    if int(label.max()) >= num_classes:
        raise ValueError(f"label map has id {int(label.max())}; ids run from 0 to {num_classes - 1}")
    batch, *size = label.shape
    grid = [batch, *(extent // edge for extent in size)]
    blocks = torch.arange(math.prod(grid), dtype=torch.int32, device=label.device).view(grid)
    within = label.view(batch, *(part for extent in grid[1:] for part in (extent, edge)))
    place = blocks[:, :, None, :, None, :, None] * num_classes + within.int()
    counts = torch.bincount(place.flatten(), minlength=blocks.numel() * num_classes)
    return counts.view(*grid, num_classes).movedim(-1, 1)


def simplex_codes(count: int) -> torch.Tensor:
    """Corners ``(count, count - 1)`` of the regular simplex with its centre at 0 and corners at distance 1."""
    # Coordinate k tells corner k from those after it.
    codes = torch.zeros(count, count - 1, dtype=torch.float64)
    for k in range(count - 1):
        codes[k, k] = (1 - codes[k, :k].square().sum()).sqrt()
        codes[k + 1 :, k] = (-1 / (count - 1) - codes[k, :k] @ codes[k + 1, :k]) / codes[k, k]
    return codes.float()


def nearest_mixture(held: torch.Tensor) -> torch.Tensor:
    """Nearest ``(B, N, ...)`` that is nowhere negative and adds up to 1 over axis 1 (Duchi et al. 2008)."""
    falling = held.sort(dim=1, descending=True).values
    excess = falling.cumsum(dim=1) - 1
    rank = torch.arange(1, held.shape[1] + 1, device=held.device).view(1, -1, *[1] * (held.ndim - 2))
    kept = (falling * rank > excess).sum(dim=1, keepdim=True).clamp(min=1)
    return (held - excess.gather(1, kept - 1) / kept).clamp(min=0)


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
