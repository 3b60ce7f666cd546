"""Training loss of the SPADE image autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from synthaug.configuration.limits import allowed
from synthaug.fitting.bank import Bank
from synthaug.fitting.crops import LabelMirror, draw_bool, draw_crop, draw_index
from synthaug.networks.image_autoencoder import ImageAutoencoder, kl_divergence


@dataclass(frozen=True)
class ImageAutoencoderBatch:
    """What a step sees.

    Attributes:
        crop: voxels of a crop.
        crops: crops in a batch.
        kl_weight: weight of the KL term.
        gradient_weight: weight of the L1 distance between finite differences, which keeps edges and texture.
    """

    crop: tuple[int, int, int] = (80, 80, 80)
    crops: int = field(default=1, metadata=allowed(low=1))
    kl_weight: float = 1e-6
    gradient_weight: float = 1.0


class ImageAutoencoderLoss:
    """Reconstruct crops of bank images from their latent and their label map.

    Args:
        paths: pair files of the bank.
        mirror: left-right flip.
        batch: what a step sees.
        multiple: crops start at a multiple of this (the autoencoder's downsampling).
        device: where the network is.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        mirror: LabelMirror,
        batch: ImageAutoencoderBatch,
        *,
        multiple: int,
        device: torch.device,
    ) -> None:
        self._paths = paths
        self._mirror = mirror
        self._batch = batch
        self._multiple = multiple
        self._device = device

    def __call__(self, network: ImageAutoencoder, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        drawn = [self._draw(generator) for _ in range(self._batch.crops)]
        label = torch.stack([one for one, _ in drawn]).long().to(self._device)
        image = torch.stack([one for _, one in drawn]).to(self._device)
        mean, std = network.encode(image)
        latent = mean + std * torch.randn(mean.shape, generator=generator).to(mean)
        difference = (network.decode(latent, label).float() - image) * (label > 0).unsqueeze(1)
        # Averaged over tissue only: the background is set to zero and needs no capacity.
        tissue = (label > 0).float().mean().clamp(min=1e-3)
        absolute = difference.abs().mean() / tissue
        gradient = sum(torch.diff(difference, dim=axis).abs().mean() for axis in (2, 3, 4)) / (3 * tissue)
        kl = kl_divergence(mean, std)
        loss = absolute + self._batch.gradient_weight * gradient + self._batch.kl_weight * kl
        return loss, {
            "absolute": float(absolute.detach()),
            "gradient": float(gradient.detach()),
            "kl": float(kl.detach()),
        }

    def _draw(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        item = Bank.read(self._paths[draw_index(len(self._paths), generator)])
        assert item.image is not None
        label, image = item.label, item.image
        if draw_bool(0.5, generator):
            label, image = self._mirror(label), self._mirror.image(image)
        crop = draw_crop(label, self._batch.crop, multiple=self._multiple, generator=generator)
        gain = 1 + 0.1 * float(torch.randn(1, generator=generator))
        return label[crop], image[(slice(None), *crop)].float() * gain
