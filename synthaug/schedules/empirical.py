"""The volumes of given cases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from synthaug.errors import BoundsError
from synthaug.schedules.progress import check_progress
from synthaug.schedules.volume_schedule import VolumeSchedule, check_volumes


@dataclass(frozen=True)
class Empirical(VolumeSchedule):
    """Draws one of the given volumes, spread by a log-normal factor.

    Attributes:
        volumes_ml: volumes of real cases in mL.
        spread: standard deviation of the factor's logarithm: 0.1 is about 10 %; 0 draws the volumes themselves.
        structure: structure or group that they are of.
    """

    kind = "empirical"
    volumes_ml: tuple[float, ...]
    spread: float = 0.0
    structure: str = "ventricles"

    def __post_init__(self) -> None:
        object.__setattr__(self, "volumes_ml", tuple(self.volumes_ml))
        if not self.volumes_ml:
            raise BoundsError(f"schedule {self.kind}: no volumes; give the volume in mL of at least one case")
        if not (math.isfinite(self.spread) and self.spread >= 0):
            raise BoundsError(f"schedule {self.kind}: spread {self.spread!r}; allowed: 0 or more")
        check_volumes(self.kind, *self.volumes_ml, positive=self.spread > 0)

    def draw(self, progress: float, rng: np.random.Generator) -> float:
        check_progress(progress)
        volume_ml = float(self.volumes_ml[int(rng.integers(len(self.volumes_ml)))])
        return volume_ml * math.exp(self.spread * rng.standard_normal()) if self.spread else volume_ml

    def cdf(self, volume_ml: float, progress: float) -> float:
        check_progress(progress)
        if not self.spread:
            return sum(one <= volume_ml for one in self.volumes_ml) / len(self.volumes_ml)
        if volume_ml <= 0:
            return 0.0
        kernel = NormalDist(0.0, self.spread)
        return sum(kernel.cdf(math.log(volume_ml / one)) for one in self.volumes_ml) / len(self.volumes_ml)

    def to_dict(self) -> dict[str, Any]:
        return self._described(volumes_ml=list(self.volumes_ml), spread=self.spread)
