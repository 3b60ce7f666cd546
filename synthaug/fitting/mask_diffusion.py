"""Training loss of the mask diffusion model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from synthaug.fitting.latents import MaskLatents
from synthaug.generators.guided_ldm import scale
from synthaug.generators.guided_ldm_config import LatentScale
from synthaug.networks.condition_encoder import condition_vector
from synthaug.networks.rectified_flow import TIME_SCALE, draw_times, noisy_state


@dataclass(frozen=True)
class MaskDiffusionBatch:
    """What a step sees.

    Attributes:
        samples: label maps in a batch.
        null_probability: share of samples with the null condition, for classifier-free guidance.
        first_control_probability: share of samples that give the first control alone; the rest give a random subset.
        control_weight: how much more a latent voxel counts that the first control always fills than one that it never
            touches: ventricles are a fiftieth of the brain, and the folds of the cortex would drown them.
        time_shift: above 0 trains more at high noise, where the volume is decided.
    """

    samples: int = 4
    null_probability: float = 0.1
    first_control_probability: float = 0.5
    control_weight: float = 10.0
    time_shift: float = 0.5


class MaskDiffusionLoss:
    """Velocity matching on scaled label-map latents.

    Args:
        data: latents and volumes of the bank.
        statistics: scale of the latents.
        limits_ml: bounds of the controls in mL, in the network's order.
        batch: what a step sees.
        device: where the network is.
    """

    def __init__(
        self,
        data: MaskLatents,
        statistics: LatentScale,
        limits_ml: Mapping[str, tuple[float, float]],
        batch: MaskDiffusionBatch,
        *,
        device: torch.device,
    ) -> None:
        self._latents = data.latents
        self._statistics = statistics
        self._batch = batch
        self._device = device
        weights = 1 + batch.control_weight * data.occupancy / data.occupancy.max().clamp(min=1e-6)
        self._weights = (weights / weights.mean()).to(device)
        controls = tuple(limits_ml)
        self._conditions = torch.stack(
            [
                condition_vector(
                    {name: max(float(value), 1e-3) for name, value in zip(controls, row, strict=True)},
                    controls,
                    limits_ml,
                )
                for row in data.volumes_ml
            ]
        )

    def __call__(self, network: nn.Module, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        index = torch.randint(len(self._latents), (self._batch.samples,), generator=generator)
        data = scale(self._latents[index].float(), self._statistics)
        noise = torch.randn(data.shape, generator=generator)
        times = draw_times(len(data), generator=generator, shift=self._batch.time_shift)
        condition = self._conditions[index] * self._draw_presence(len(index), generator)
        state = noisy_state(data, noise, times).to(self._device)
        velocity = network(state, (times * TIME_SCALE).to(self._device), condition.to(self._device))
        error = (velocity.float() - (noise - data).to(self._device)).square()
        return (error * self._weights).mean(), {"unweighted": float(error.detach().mean())}

    def _draw_presence(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Which controls are given, ``(count, controls, 1)``."""
        controls = self._conditions.shape[1]
        presence = (torch.rand(count, controls, generator=generator) < 0.5).float()
        kind = torch.rand(count, generator=generator)
        null = self._batch.null_probability
        presence[kind < null + self._batch.first_control_probability] = torch.eye(controls)[0]
        presence[kind < null] = 0
        return presence.unsqueeze(-1)
