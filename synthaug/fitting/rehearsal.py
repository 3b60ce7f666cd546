"""Coarse label-map latents as the networks leave them, for the networks that add detail to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from synthaug.generators.latent_scale import LatentScale
from synthaug.labels import LabelScheme
from synthaug.networks.condition_encoder import condition_vector
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import coarsen, spread
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.mask_diffusion import MaskDiffusionUNet
from synthaug.networks.precision import autocast
from synthaug.networks.rectified_flow import TIME_SCALE, integrate_flow, noisy_state
from synthaug.volumes.grid import Grid


class Rehearsal(Protocol):
    """Gives real coarse latents the faults that samples have."""

    def __call__(self, coarse: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """What a network makes of ``(B, C, x, y, z)`` scaled latents."""


@dataclass(frozen=True)
class NoiseRange:
    """Noise fractions that a rehearsal starts from; above the upper one a network would make another head.

    Attributes:
        low: least fraction.
        high: largest.
        steps: network evaluations from there.
    """

    low: float
    high: float
    steps: int


WHOLE_HEADS = NoiseRange(0.3, 0.75, 2)
"""Of the coarsest level: a head that is noised to 0.6 comes back as it was, at 0.8 another one does."""

CROPS = NoiseRange(0.2, 0.6, 1)
"""Of the finer levels."""


@dataclass(frozen=True, eq=False)
class MaskRehearsal:
    """Whole heads as the mask diffusion model leaves them: noised in part, denoised for the volumes that they have.

    Attributes:
        network: the trained mask diffusion model, on its device.
        autoencoder: tells volumes from latents.
        statistics: scale of the latents.
        scheme: label scheme.
        grid: field of view.
        limits_ml: bounds of the controls in mL, in the network's order.
        dtype: floating-point type of the network.
    """

    network: MaskDiffusionUNet
    autoencoder: LabelAutoencoder
    statistics: LatentScale
    scheme: LabelScheme
    grid: Grid
    limits_ml: Mapping[str, tuple[float, float]]
    dtype: torch.dtype

    def __call__(self, coarse: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """What the network makes of ``(B, C, x, y, z)`` scaled latents of the coarsest level."""
        shares = self.autoencoder.label_shares(self.statistics.unscale(coarse))
        condition = torch.stack([self._condition(one) for one in shares.cpu()]).to(coarse.device)
        return _renewed(
            lambda state, times: self.network(state, times, condition), coarse, WHOLE_HEADS, generator, self.dtype
        )

    def _condition(self, shares: torch.Tensor) -> torch.Tensor:
        """Condition ``(controls, 2)`` of a head whose labels hold ``(classes,)`` shares of the field of view."""
        volumes_ml = shares.double() * math.prod(self.grid.shape) * self.grid.voxel_volume_ml
        held = {name: float(volumes_ml[list(self.scheme.resolve(name))].sum()) for name in self.limits_ml}
        least_ml = self.grid.voxel_volume_ml
        return condition_vector(
            {name: max(volume_ml, least_ml) for name, volume_ml in held.items()}, tuple(held), self.limits_ml
        )


@dataclass(frozen=True, eq=False)
class DetailRehearsal:
    """Crops as a detail network leaves them.

    Attributes:
        network: the trained detail network of the coarser level, on its device.
        dtype: floating-point type of the network.
    """

    network: MaskDetailUNet
    dtype: torch.dtype

    def __call__(self, coarse: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """What the network makes of ``(B, C, x, y, z)`` scaled latents of the level that it adds."""
        coarser = coarsen(coarse)
        detail = _renewed(
            lambda state, times: self.network(state, times, coarser),
            coarse - spread(coarser),
            CROPS,
            generator,
            self.dtype,
        )
        return spread(coarser) + detail


def _renewed(
    velocity: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    data: torch.Tensor,
    noise_range: NoiseRange,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Noise ``(B, C, x, y, z)`` data in part and denoise it again."""
    low, high = noise_range.low, noise_range.high
    start = low + (high - low) * float(torch.rand(1, generator=generator))
    noise = torch.randn(data.shape, generator=generator).to(data)

    def at(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
        times = (fraction * TIME_SCALE).to(state.device).expand(len(state))
        with autocast(state.device, dtype):
            return velocity(state, times).float()

    state = noisy_state(data, noise, torch.full((len(data),), start, device=data.device))
    return integrate_flow(at, state, steps=noise_range.steps, start=start)
