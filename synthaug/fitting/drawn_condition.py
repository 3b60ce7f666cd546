"""Which volumes of a training case a network is told: some, one or none, so that any subset can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from synthaug.networks.condition_encoder import condition_vector

LEAST_VOLUME_ML = 1e-3
"""Of a structure that a case does not have, since conditions are logarithms."""


def conditions_of(volumes_ml: torch.Tensor, limits_ml: Mapping[str, tuple[float, float]]) -> torch.Tensor:
    """Conditions ``(N, controls, 2)`` with all volumes given, of ``(N, controls)`` volumes in mL."""
    controls = tuple(limits_ml)
    return torch.stack(
        [
            condition_vector(
                {name: max(float(value), LEAST_VOLUME_ML) for name, value in zip(controls, row, strict=True)},
                controls,
                limits_ml,
            )
            for row in volumes_ml
        ]
    )


@dataclass(frozen=True)
class PresenceProbabilities:
    """How often what is told.

    Attributes:
        null: share of samples that are told nothing, for classifier-free guidance.
        first_alone: share that are told the first volume alone; the rest are told a random subset.
    """

    null: float
    first_alone: float


def draw_presence(
    count: int, controls: int, probabilities: PresenceProbabilities, generator: torch.Generator
) -> torch.Tensor:
    """Which volumes are given, ``(count, controls, 1)`` of 1 and 0; a condition vector is multiplied by it."""
    presence = (torch.rand(count, controls, generator=generator) < 0.5).float()
    kind = torch.rand(count, generator=generator)
    presence[kind < probabilities.null + probabilities.first_alone] = torch.eye(controls)[0]
    presence[kind < probabilities.null] = 0
    return presence.unsqueeze(-1)
