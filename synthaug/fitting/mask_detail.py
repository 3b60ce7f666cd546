"""Training loss of the model that adds detail to coarse label-map latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from synthaug.configuration.limits import allowed
from synthaug.fitting.crops import LabelMirror, draw_bool, draw_label_crop
from synthaug.fitting.rehearsal import Rehearsal
from synthaug.generators.latent_scale import LatentScale
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import DETAIL_LEVELS, coarsen, spread
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.rectified_flow import LEAST_NOISE, TIME_SCALE, draw_times, noisy_state


@dataclass(frozen=True)
class MaskDetailBatch:
    """What a step sees: whole label maps, which the coarser level can afford.

    Attributes:
        samples: label maps, or crops of them, in a batch.
        rehearsed: share of batches whose coarse latents are as the coarser network leaves them; what is sampled is
            never quite a latent of a real label map, and this network has to mend it.
        coarse_noise: up to so much noise, in units of the latents' deviation, is on the coarse latents beside (Ho et
            al. 2022).
        time_shift: above 0 trains more at high noise.
    """

    samples: int = field(default=2, metadata=allowed(low=1))
    rehearsed: float = 0.75
    coarse_noise: float = 0.2
    time_shift: float = 0.0


@dataclass(frozen=True)
class CroppedDetailBatch(MaskDetailBatch):
    """What a step of the finer level sees: crops.

    Attributes:
        crop: voxels of the label map under a crop.
    """

    crop: tuple[int, int, int] = (96, 96, 96)


class MaskDetailLoss:
    """Velocity matching on what scaled label-map latents add to coarse ones, which are as they are when sampling.

    Args:
        paths: label files of the bank.
        mirror: left-right flip.
        autoencoder: encodes label maps.
        statistics: scale of the latents.
        level: that the network adds, 0 to ``DETAIL_LEVELS - 1``.
        batch: what a step sees, crops or whole label maps.
        rehearsal: gives coarse latents the faults of sampled ones.
        multiple: crops start at a multiple of this (the voxels of a block along an axis).
        device: where the network is.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        mirror: LabelMirror,
        autoencoder: LabelAutoencoder,
        statistics: LatentScale,
        level: int,
        batch: MaskDetailBatch,
        rehearsal: Rehearsal,
        *,
        multiple: int,
        device: torch.device,
    ) -> None:
        self._paths = paths
        self._mirror = mirror
        self._autoencoder = autoencoder.to(device)
        self._statistics = statistics
        self._above = DETAIL_LEVELS - 1 - level
        self._batch = batch
        self._crop = batch.crop if isinstance(batch, CroppedDetailBatch) else None
        self._rehearsal = rehearsal
        self._multiple = multiple
        self._device = device

    def __call__(self, network: MaskDetailUNet, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        crops = [
            draw_label_crop(self._paths, self._mirror, self._crop, multiple=self._multiple, generator=generator)
            for _ in range(self._batch.samples)
        ]
        label = torch.stack(crops).to(self._device)
        with torch.no_grad():
            latent = self._statistics.scale(self._autoencoder.encode(label, coarser=self._above))
            coarse = coarsen(latent)
            if draw_bool(self._batch.rehearsed, generator):
                coarse = self._rehearsal(coarse, generator)
        level = self._batch.coarse_noise * torch.rand(len(label), 1, 1, 1, 1, generator=generator)
        coarse = coarse + (level * torch.randn(coarse.shape, generator=generator)).to(coarse)
        data = latent - spread(coarse)
        noise = torch.randn(data.shape, generator=generator).to(data)
        times = draw_times(len(data), generator=generator, shift=self._batch.time_shift).clamp(min=LEAST_NOISE)
        times = times.to(self._device)
        velocity = network(noisy_state(data, noise, times), times * TIME_SCALE, coarse)
        error = velocity.float() - (noise - data)
        loss = (error * network.state_deviation(times.view(-1, 1, 1, 1, 1)) / network.deviation).square().mean()
        return loss, {}
