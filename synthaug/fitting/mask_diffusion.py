"""Training loss of the mask diffusion model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from synthaug.configuration.limits import allowed
from synthaug.fitting.bank import Bank
from synthaug.fitting.crops import LabelMirror
from synthaug.fitting.drawn_condition import PresenceProbabilities, conditions_of, draw_presence
from synthaug.fitting.latents import MaskSurvey
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import DETAIL_LEVELS
from synthaug.networks.mask_diffusion import MaskDiffusionUNet
from synthaug.networks.rectified_flow import LEAST_NOISE, TIME_SCALE, draw_times, noisy_state


@dataclass(frozen=True)
class MaskDiffusionBatch:
    """What a step sees.

    Attributes:
        samples: label maps in a batch.
        null_probability: share of samples with the null condition, for classifier-free guidance.
        first_control_probability: share of samples that give the first control alone; the rest give a random subset.
        control_weight: how much more a latent voxel counts that the first control always fills than one that it never
            touches: ventricles are a fiftieth of the brain, and the folds of the cortex would drown them.
        time_shift: above 0 trains more at high noise. Labels agree over many voxels and channels: a head that is
            noised to a fraction of 0.6 comes back as it was, and what it looks like is decided above that.
    """

    samples: int = field(default=2, metadata=allowed(low=1))
    null_probability: float = 0.1
    first_control_probability: float = 0.5
    control_weight: float = 10.0
    time_shift: float = 1.2


class MaskDiffusionLoss:
    """Velocity matching on the coarsest level of scaled label-map latents.

    Args:
        paths: label files of the bank.
        mirror: left-right flip.
        autoencoder: encodes label maps.
        survey: of the same files.
        limits_ml: bounds of the controls in mL, in the network's order.
        batch: what a step sees.
        device: where the network is.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        mirror: LabelMirror,
        autoencoder: LabelAutoencoder,
        survey: MaskSurvey,
        limits_ml: Mapping[str, tuple[float, float]],
        batch: MaskDiffusionBatch,
        *,
        device: torch.device,
    ) -> None:
        self._paths = paths
        self._mirror = mirror
        self._autoencoder = autoencoder.to(device)
        self._statistics = survey.scale()
        self._batch = batch
        self._presence = PresenceProbabilities(batch.null_probability, batch.first_control_probability)
        self._device = device
        weights = 1 + batch.control_weight * survey.occupancy / survey.occupancy.max().clamp(min=1e-6)
        self._weights = (weights / weights.mean()).to(device)
        self._conditions = conditions_of(survey.volumes_ml.flatten(0, 1), limits_ml)

    def __call__(self, network: MaskDiffusionUNet, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch, and figures to log."""
        index = torch.randint(len(self._conditions), (self._batch.samples,), generator=generator)
        label = torch.stack([self._read(one) for one in index.tolist()]).to(self._device)
        with torch.no_grad():
            data = self._statistics.scale(self._autoencoder.encode(label, coarser=DETAIL_LEVELS))
        noise = torch.randn(data.shape, generator=generator).to(self._device)
        times = draw_times(len(data), generator=generator, shift=self._batch.time_shift).clamp(min=LEAST_NOISE)
        times = times.to(self._device)
        presence = draw_presence(len(index), self._conditions.shape[1], self._presence, generator)
        condition = self._conditions[index] * presence
        velocity = network(noisy_state(data, noise, times), times * TIME_SCALE, condition.to(self._device))
        # What one voxel alone cannot tell counts alike at every noise: the error of the clean latent where all is
        # noise, that of the noise where little is.
        error = (velocity.float() - (noise - data)).square() * network.state_deviation(times.view(-1, 1, 1, 1, 1)) ** 2
        return (error * self._weights).mean(), {"unweighted": float(error.detach().mean())}

    def _read(self, index: int) -> torch.Tensor:
        """Label map of the ``index``-th condition: the files in turn, each followed by its mirror image."""
        label = Bank.read(self._paths[index // 2]).label
        return self._mirror(label) if index % 2 else label
