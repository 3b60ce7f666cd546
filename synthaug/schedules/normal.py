"""Normally distributed volumes, cut off at limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from synthaug.errors import BoundsError
from synthaug.schedules.progress import check_progress
from synthaug.schedules.volume_schedule import VolumeSchedule, check_range, check_volumes


@dataclass(frozen=True)
class Normal(VolumeSchedule):
    """Normal distribution truncated to ``[low_ml, high_ml]``, drawn by inversion of its distribution function.

    Attributes:
        mean_ml: mean before truncation, in mL.
        sd_ml: standard deviation before truncation, in mL, more than 0.
        low_ml: lowest volume in mL.
        high_ml: highest volume in mL, or None for no upper limit.
        structure: structure or group that they are of.
    """

    kind = "normal"
    mean_ml: float
    sd_ml: float
    low_ml: float = 0.0
    high_ml: float | None = None
    structure: str = "ventricles"

    def __post_init__(self) -> None:
        check_volumes(self.kind, self.mean_ml, self.low_ml)
        check_volumes(self.kind, self.sd_ml, positive=True)
        if self.high_ml is not None:
            check_volumes(self.kind, self.high_ml)
            check_range(self.kind, self.low_ml, self.high_ml)
        below, above = self._tails()
        if above - below < 1e-9:
            raise BoundsError(
                f"schedule {self.kind}: no draw of mean {self.mean_ml:g} and SD {self.sd_ml:g} mL lies within its "
                "limits; move the mean or the limits"
            )

    def draw(self, progress: float, rng: np.random.Generator) -> float:
        check_progress(progress)
        below, above = self._tails()
        chance = min(max(rng.uniform(below, above), 1e-300), math.nextafter(1.0, 0.0))
        volume_ml = NormalDist(self.mean_ml, self.sd_ml).inv_cdf(chance)
        return float(min(max(volume_ml, self.low_ml), self.high_ml if self.high_ml is not None else math.inf))

    def cdf(self, volume_ml: float, progress: float) -> float:
        check_progress(progress)
        if volume_ml < self.low_ml:
            return 0.0
        below, above = self._tails()
        chance = NormalDist(self.mean_ml, self.sd_ml).cdf(volume_ml)
        return min(max((chance - below) / (above - below), 0.0), 1.0)

    def _tails(self) -> tuple[float, float]:
        distribution = NormalDist(self.mean_ml, self.sd_ml)
        return distribution.cdf(self.low_ml), 1.0 if self.high_ml is None else distribution.cdf(self.high_ml)

    def to_dict(self) -> dict[str, Any]:
        return self._described(mean_ml=self.mean_ml, sd_ml=self.sd_ml, low_ml=self.low_ml, high_ml=self.high_ml)
