"""Training loss of the SPADE image diffusion model."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from synthaug.fitting.crops import draw_bool, draw_crop, draw_index
from synthaug.fitting.latents import ImageLatents
from synthaug.generators.latent_scale import LatentScale
from synthaug.networks.image_diffusion import ImageDiffusionUNet
from synthaug.networks.rectified_flow import TIME_SCALE, draw_times, noisy_state


@dataclass(frozen=True)
class ImageDiffusionBatch:
    """What a step sees.

    Attributes:
        crop: voxels of the image under a latent crop; a multiple of the autoencoder's downsampling.
        whole_probability: share of steps that see the whole field of view, which crops show in part only.
        coarsest: largest factor between image and the U-Net's coarsest level; crops are multiples of it.
    """

    crop: tuple[int, int, int] = (96, 96, 96)
    whole_probability: float = 0.25
    coarsest: int = 16


class ImageDiffusionLoss:
    """Velocity matching on scaled image latents, conditioned on the full-resolution label map.

    Args:
        data: latents and label maps of the bank.
        statistics: scale of the latents.
        batch: what a step sees.
        downsampling: image voxels along a latent voxel.
        device: where the network is.
    """

    def __init__(
        self,
        data: ImageLatents,
        statistics: LatentScale,
        batch: ImageDiffusionBatch,
        *,
        downsampling: int,
        device: torch.device,
    ) -> None:
        self._data = data
        self._statistics = statistics
        self._batch = batch
        self._downsampling = downsampling
        self._device = device

    def __call__(
        self, network: ImageDiffusionUNet, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one sample, and figures to log."""
        index = draw_index(len(self._data.latents), generator)
        label, latent = self._data.labels[index], self._data.latents[index].float()
        if not draw_bool(self._batch.whole_probability, generator):
            crop = draw_crop(label, self._batch.crop, multiple=self._batch.coarsest, generator=generator)
            label = label[crop]
            coarse = [slice(part.start // self._downsampling, part.stop // self._downsampling) for part in crop]
            latent = latent[(slice(None), *coarse)]
        data = self._statistics.scale(latent.unsqueeze(0))
        noise = torch.randn(data.shape, generator=generator)
        times = draw_times(1, generator=generator)
        features = network.label_encoder(label.unsqueeze(0).long().to(self._device))
        state = noisy_state(data, noise, times).to(self._device)
        velocity = network(state, (times * TIME_SCALE).to(self._device), features)
        return (velocity.float() - (noise - data).to(self._device)).square().mean(), {}
