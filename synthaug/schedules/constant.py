"""Always the same volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synthaug.schedules.progress import check_progress
from synthaug.schedules.volume_schedule import VolumeSchedule, check_volumes


@dataclass(frozen=True)
class Constant(VolumeSchedule):
    """One volume for all draws.

    Attributes:
        volume_ml: the volume in mL.
        structure: structure or group that it is of.
    """

    kind = "constant"
    volume_ml: float
    structure: str = "ventricles"

    def __post_init__(self) -> None:
        check_volumes(self.kind, self.volume_ml)

    def draw(self, progress: float, rng: np.random.Generator) -> float:
        check_progress(progress)
        return float(self.volume_ml)

    def cdf(self, volume_ml: float, progress: float) -> float:
        check_progress(progress)
        return float(volume_ml >= self.volume_ml)

    def to_dict(self) -> dict[str, Any]:
        return self._described(volume_ml=self.volume_ml)
