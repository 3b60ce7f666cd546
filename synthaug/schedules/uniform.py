"""All volumes of a range alike, in mL or in the logarithm of mL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from synthaug.schedules.progress import check_progress
from synthaug.schedules.volume_schedule import VolumeSchedule, check_range, check_volumes


@dataclass(frozen=True)
class _VolumeRange(VolumeSchedule):
    """Volumes from one to another."""

    is_positive: ClassVar[bool] = False
    low_ml: float
    high_ml: float
    structure: str = "ventricles"

    def __post_init__(self) -> None:
        check_volumes(self.kind, self.low_ml, self.high_ml, positive=self.is_positive)
        check_range(self.kind, self.low_ml, self.high_ml)

    def to_dict(self) -> dict[str, Any]:
        return self._described(low_ml=self.low_ml, high_ml=self.high_ml)


@dataclass(frozen=True)
class Uniform(_VolumeRange):
    """Uniform in mL.

    Attributes:
        low_ml: lowest volume in mL.
        high_ml: highest volume in mL.
        structure: structure or group that they are of.
    """

    kind = "uniform"

    def draw(self, progress: float, rng: np.random.Generator) -> float:
        check_progress(progress)
        return float(rng.uniform(self.low_ml, self.high_ml))

    def cdf(self, volume_ml: float, progress: float) -> float:
        check_progress(progress)
        return float(np.clip((volume_ml - self.low_ml) / (self.high_ml - self.low_ml), 0.0, 1.0))


@dataclass(frozen=True)
class LogUniform(_VolumeRange):
    """Uniform in the logarithm of the volume: from 8 to 16 mL as often as from 60 to 120 mL.

    Attributes:
        low_ml: lowest volume in mL, more than 0.
        high_ml: highest volume in mL.
        structure: structure or group that they are of.
    """

    kind = "log-uniform"
    is_positive = True

    def draw(self, progress: float, rng: np.random.Generator) -> float:
        check_progress(progress)
        volume_ml = math.exp(rng.uniform(math.log(self.low_ml), math.log(self.high_ml)))
        # exp(log(x)) may miss x by a rounding, and a generator's bounds are exact
        return min(max(volume_ml, float(self.low_ml)), float(self.high_ml))

    def cdf(self, volume_ml: float, progress: float) -> float:
        check_progress(progress)
        if volume_ml <= self.low_ml:
            return 0.0
        return min(math.log(volume_ml / self.low_ml) / math.log(self.high_ml / self.low_ml), 1.0)
