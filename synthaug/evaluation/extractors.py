"""Feature extractors for the Fréchet distance between sets of images; both ship, and need no download."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from synthaug.networks.image_autoencoder import ImageAutoencoder

SLICES_IN_VIEW = 8
HEAD_SHARE = 0.8
"""Slices lie within this share of the head's box, where there is something to see."""

PATCH = 8
"""Edge of the blocks of latent voxels whose statistics are one feature vector."""

LEAST_HEAD = 0.5
"""Share of a block that must lie inside the head."""


class Extractor(Protocol):
    """Feature vectors of an image."""

    def features(self, image: torch.Tensor, head: torch.Tensor) -> np.ndarray:
        """Vectors ``(N, D)`` of an image ``(X, Y, Z)``, 0 to about 1 and 0 outside its head, and the head's mask."""


class RandomConvolutions:
    """Slices in three views, seen by convolutions with fixed random weights.

    Random networks tell sets of images apart about as well as trained ones, and favour none of those that were trained
    on photographs (Naeem et al. 2020). The features are the means and deviations of the channels over the head.
    """

    CHANNELS = (6, 8, 10)

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._layers = []
        before = 1
        for channels in self.CHANNELS:
            weight = torch.empty(channels, before, 5, 5)
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
            weight -= weight.mean(dim=(2, 3), keepdim=True) * (before == 1)  # edges, not brightness, come first
            self._layers.append(weight)
            before = channels

    @torch.inference_mode()
    def features(self, image: torch.Tensor, head: torch.Tensor) -> np.ndarray:
        """See :meth:`Extractor.features`."""
        return np.stack(
            [self._of_slice(one[None, None], mask[None, None].float()) for one, mask in head_slices(image, head)]
        )

    def _of_slice(self, state: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
        found = []
        for weight in self._layers:
            state = functional.relu(functional.conv2d(state, weight, stride=2, padding=2))
            mask = functional.interpolate(mask, size=state.shape[2:], mode="area")
            total = mask.sum().clamp(min=1e-6)
            mean = (state * mask).sum((0, 2, 3)) / total
            deviation = ((state - mean.view(1, -1, 1, 1)).square() * mask).sum((0, 2, 3)).div(total).sqrt()
            found += [mean, deviation]
        return torch.cat(found).numpy()


def head_slices(image: torch.Tensor, head: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """`SLICES_IN_VIEW` sagittal, coronal, then axial slices of an image ``(X, Y, Z)`` and of its head's mask."""
    for axis in range(3):
        others = tuple(one for one in range(3) if one != axis)
        extent = torch.nonzero(head.amax(dim=others)).flatten()
        low, high = float(extent[0]), float(extent[-1])
        margin = (1 - HEAD_SHARE) / 2 * (high - low)
        places = torch.linspace(low + margin, high - margin, SLICES_IN_VIEW).round().long()
        yield from zip(*(one.index_select(axis, places).movedim(axis, 0) for one in (image, head)), strict=True)


class AutoencoderLatents:
    """Blocks of the head, seen by the encoder of a trained image autoencoder.

    The features of a block are the means and deviations of its latents, and the deviations of their differences
    between neighbours, which tell texture.

    Args:
        network: with its weights; of one channel.
    """

    def __init__(self, network: ImageAutoencoder) -> None:
        self._network = network.eval()

    @torch.inference_mode()
    def features(self, image: torch.Tensor, head: torch.Tensor) -> np.ndarray:
        """See :meth:`Extractor.features`."""
        unit = self._network.downsampling * PATCH
        padding = [one for size in reversed(image.shape) for one in (0, -size % unit)]
        latent, _ = self._network.encode(functional.pad(image, padding)[None, None])
        share = functional.avg_pool3d(functional.pad(head.float(), padding)[None, None], unit)
        mean = functional.avg_pool3d(latent, PATCH)
        square = functional.avg_pool3d(latent.square(), PATCH)
        steps = [functional.pad(latent.diff(dim=axis).square(), _after(axis)) for axis in (2, 3, 4)]
        texture = functional.avg_pool3d(torch.stack(steps).mean(0), PATCH).sqrt()
        vectors = torch.cat([mean, (square - mean**2).clamp(min=0).sqrt(), texture], dim=1)
        return vectors[0].movedim(0, -1)[share[0, 0] >= LEAST_HEAD].numpy()


def _after(axis: int) -> list[int]:
    """Padding by one at the end of an axis, as torch wants it: the last axis first."""
    return [amount for one in (4, 3, 2) for amount in (0, int(one == axis))]


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Fréchet distance between Gaussians of two sets of feature vectors, ``(N, D)`` and ``(M, D)``."""
    from monai.metrics.fid import get_fid_score

    return float(get_fid_score(torch.from_numpy(one).double(), torch.from_numpy(other).double()))
