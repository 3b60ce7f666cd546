"""What the real set lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synthaug.errors import BoundsError
from synthaug.schedules.progress import check_progress
from synthaug.schedules.volume_schedule import VolumeSchedule, check_volumes


@dataclass(frozen=True)
class HistogramMatching(VolumeSchedule):
    """Draws such volumes that real and synthetic cases together follow a target schedule.

    With a share ``fraction`` of synthetic cases, bin b of the mixture holds
    ``(1 - fraction) real[b] + fraction synthetic[b]``. The weight of a bin is what is missing there,
    ``max(0, target[b] - (1 - fraction) real[b])``, normalised; within a bin draws are uniform.

    Attributes:
        target: what the mixture is to follow.
        real_ml: volumes of the real training cases in mL.
        fraction: share of synthetic cases in training, above 0 and up to 1.
        edges_ml: bin edges in mL, increasing; draws stay within them.
        structure: structure or group that they are of.
    """

    kind = "histogram-matching"
    target: VolumeSchedule
    real_ml: tuple[float, ...]
    fraction: float
    edges_ml: tuple[float, ...]
    structure: str = "ventricles"

    def __post_init__(self) -> None:
        object.__setattr__(self, "real_ml", tuple(self.real_ml))
        object.__setattr__(self, "edges_ml", tuple(self.edges_ml))
        check_volumes(self.kind, *self.real_ml, *self.edges_ml)
        if not 0 < self.fraction <= 1:
            raise BoundsError(f"schedule {self.kind}: fraction {self.fraction!r}; allowed: above 0, up to 1")
        if not self.real_ml:
            raise BoundsError(f"schedule {self.kind}: no real volumes; give the volume in mL of each real case")
        if self.target.structure != self.structure:
            raise BoundsError(
                f"schedule {self.kind}: its target is of {self.target.structure!r} and itself of {self.structure!r}; "
                "name the same structure in both"
            )
        self.target.bin_weights(self.edges_ml, 0.0)  # refuses edges that do not increase

    def weights(self, progress: float) -> np.ndarray:
        """Probability of each bin between ``edges_ml``; sums to 1."""
        check_progress(progress)
        real = np.histogram(self.real_ml, bins=self.edges_ml)[0] / len(self.real_ml)
        wanted = self.target.bin_weights(self.edges_ml, progress)
        lacking = np.maximum(wanted - (1 - self.fraction) * real, 0.0)
        if lacking.sum() <= 0:
            # nothing is lacking within the edges: follow the target, or the edges where it lies outside them
            lacking = wanted if wanted.sum() > 0 else np.diff(self.edges_ml)
        return lacking / lacking.sum()

    @property
    def phases(self) -> tuple[float, ...]:
        return self.target.phases

    def draw(self, progress: float, rng: np.random.Generator) -> float:
        chosen = int(rng.choice(len(self.edges_ml) - 1, p=self.weights(progress)))
        return float(rng.uniform(self.edges_ml[chosen], self.edges_ml[chosen + 1]))

    def cdf(self, volume_ml: float, progress: float) -> float:
        below = np.concatenate([[0.0], np.cumsum(self.weights(progress))])
        return float(np.clip(np.interp(volume_ml, self.edges_ml, below), 0.0, 1.0))

    def to_dict(self) -> dict[str, Any]:
        return self._described(
            target=self.target.to_dict(),
            real_ml=list(self.real_ml),
            fraction=self.fraction,
            edges_ml=list(self.edges_ml),
        )
