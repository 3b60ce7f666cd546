"""Training loss of the label-map autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from synthaug.configuration.limits import allowed
from synthaug.fitting.bank import Bank
from synthaug.fitting.crops import LabelMirror, draw_label_crop
from synthaug.networks.label_autoencoder import LabelAutoencoder, label_reconstruction_loss


@dataclass(frozen=True)
class LabelAutoencoderBatch:
    """What a step sees.

    Attributes:
        crop: voxels of a crop.
        crops: crops in a batch.
        latent_noise: up to so much noise is on the latents that the decoder sees, whose codes have norm 1: what the
            mask diffusion model makes is never quite a latent of a real label map.
    """

    crop: tuple[int, int, int] = (80, 80, 80)
    crops: int = field(default=1, metadata=allowed(low=1))
    latent_noise: float = 0.1


class LabelAutoencoderLoss:
    """Reconstruct crops of bank label maps.

    Args:
        paths: label files of the bank.
        mirror: left-right flip.
        batch: what a step sees.
        class_weights: ``(classes,)`` weights of the cross-entropy.
        multiple: crops start at a multiple of this (the autoencoder's downsampling).
        device: where the network is.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        mirror: LabelMirror,
        batch: LabelAutoencoderBatch,
        class_weights: torch.Tensor,
        *,
        multiple: int,
        device: torch.device,
    ) -> None:
        self._paths = paths
        self._mirror = mirror
        self._batch = batch
        self._weights = class_weights.to(device)
        self._multiple = multiple
        self._device = device

    def __call__(self, network: LabelAutoencoder, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        crops = [
            draw_label_crop(self._paths, self._mirror, self._batch.crop, multiple=self._multiple, generator=generator)
            for _ in range(self._batch.crops)
        ]
        label = torch.stack(crops).long().to(self._device)
        latent = network.encode(label)
        level = self._batch.latent_noise * torch.rand(1, generator=generator)
        latent = latent + (level * torch.randn(latent.shape, generator=generator)).to(latent)
        loss = label_reconstruction_loss(network.decode_folded(latent), network.fold(label), self._weights)
        return loss, {"reconstruction": float(loss.detach())}


def balanced_class_weights(paths: Sequence[Path], num_classes: int) -> torch.Tensor:
    """Weights ``(classes,)`` that fall with the square root of a label's frequency; mean 1 over voxels."""
    counts = torch.zeros(num_classes, dtype=torch.float64)
    for path in paths:
        counts += torch.bincount(Bank.read(path).label.flatten().long(), minlength=num_classes)
    share = counts / counts.sum()
    weights = torch.where(share > 0, 1 / share.clamp(min=1e-4).sqrt(), 0.0)
    return (weights / (weights * share).sum()).clamp(max=20).float()
