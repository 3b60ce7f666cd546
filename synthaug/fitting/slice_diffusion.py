"""Training loss of the semantic diffusion models of slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.nn import functional

from synthaug.configuration.limits import allowed
from synthaug.fitting.bank import Bank
from synthaug.fitting.crops import LabelMirror, draw_bool, draw_crop, draw_index
from synthaug.networks.slice_diffusion import NOISING_STEPS, SliceDiffusionUNet, to_slices, to_states
from synthaug.volumes.views import VIEWS


@dataclass(frozen=True)
class SliceDiffusionBatch:
    """What a step sees.

    Attributes:
        slices: slices in a batch.
        volumes: pairs that they are taken from: reading and mirroring one takes longer than cutting a slice from it.
        crop: height and width of a slice's crop, in pixels; what a slice lacks is filled up with background.
        low_noise_share: share of slices that are noised by a few steps only, as the refiner does it.
        low_noise_steps: noising steps of those at most.
        gain_deviation: deviation of the factor by which the intensities of a pair are multiplied.
    """

    slices: int = field(default=8, metadata=allowed(low=1))
    volumes: int = field(default=2, metadata=allowed(low=1))
    crop: tuple[int, int] = field(default=(96, 96), metadata=allowed(low=8))
    low_noise_share: float = field(default=0.4, metadata=allowed(low=0, high=1))
    low_noise_steps: int = field(default=100, metadata=allowed(low=1, high=1000))
    gain_deviation: float = field(default=0.05, metadata=allowed(low=0))


class SliceDiffusionLoss:
    """Denoise slices of one view of bank images, given their label maps (MedGen3D, section 3.2).

    Errors count in units of what a noisy pixel by itself leaves open, which gives each noise level a like weight.

    Args:
        paths: pair files of the bank.
        mirror: left-right flip.
        view: ``axial``, ``coronal`` or ``sagittal``.
        batch: what a step sees.
        device: where the network is.

    Raises:
        ValueError: there is no such view.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        mirror: LabelMirror,
        view: str,
        batch: SliceDiffusionBatch,
        *,
        device: torch.device,
    ) -> None:
        if view not in VIEWS:
            raise ValueError(f"view {view!r} is not known; choose one of {', '.join(VIEWS)}")
        self._paths = paths
        self._mirror = mirror
        self._view = view
        self._batch = batch
        self._device = device

    def __call__(
        self, network: SliceDiffusionUNet, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        label, image = self._draw(generator)
        time = self._draw_times(generator)
        tissue = (label > 0).unsqueeze(1)
        states = to_states(image, tissue)
        noise = torch.randn(states.shape, generator=generator)
        label, tissue, states, noise, time = (one.to(self._device) for one in (label, tissue, states, noise, time))
        predicted = network(network.noised(states, noise, time), time, label)
        error = (predicted.float() - states) / network.error_deviation(time, label)
        # Averaged over tissue only: the background is set to zero and needs no capacity.
        return (error * tissue).square().sum() / (tissue.sum().clamp(min=1) * image.shape[1]), {}

    def _draw(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Label maps ``(B, height, width)`` and images ``(B, C, height, width)`` in normalised units."""
        count = min(self._batch.volumes, self._batch.slices)
        drawn = []
        for number in range(count):
            label, image = self._draw_pair(generator)
            for _ in range(number, self._batch.slices, count):
                drawn.append(self._draw_slice(label, image, generator))
        return torch.stack([label for label, _ in drawn]).long(), torch.stack([image for _, image in drawn])

    def _draw_pair(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        item = Bank.read(self._paths[draw_index(len(self._paths), generator)])
        assert item.image is not None
        label, image = item.label, item.image
        if draw_bool(0.5, generator):
            label, image = self._mirror(label), self._mirror.image(image)
        gain = 1 + self._batch.gain_deviation * float(torch.randn(1, generator=generator))
        return label, image * gain

    def _draw_slice(
        self, label: torch.Tensor, image: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Crop of one slice: a crop around a voxel of some structure, one voxel thick, has tissue."""
        size = list(self._batch.crop)
        size.insert(VIEWS[self._view], 1)
        crop = draw_crop(label, size, multiple=1, generator=generator)
        label, image = label[crop], image[(slice(None), *crop)].float()
        height, width = to_slices(label, self._view).shape[1:]
        missing = (0, self._batch.crop[1] - width, 0, self._batch.crop[0] - height)
        return (
            functional.pad(to_slices(label, self._view)[0], missing),
            functional.pad(to_slices(image, self._view)[0], missing),
        )

    def _draw_times(self, generator: torch.Generator) -> torch.Tensor:
        """Noising steps less one, ``(B,)``."""
        count = self._batch.slices
        low = torch.rand(count, generator=generator) < self._batch.low_noise_share
        steps = torch.where(low, self._batch.low_noise_steps, NOISING_STEPS)
        return (torch.rand(count, generator=generator) * steps).long()
