"""A curriculum: one schedule after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synthaug.errors import BoundsError
from synthaug.schedules.progress import check_progress
from synthaug.schedules.volume_schedule import VolumeSchedule


@dataclass(frozen=True)
class Piecewise(VolumeSchedule):
    """Schedules that follow one another as training goes on.

    Each stage sees its own progress, 0 at its start and 1 at its end, so that curricula nest.

    Attributes:
        stages: ``(until, schedule)``: the schedule holds from the end of the stage before up to, not including,
            progress ``until``; the last ``until`` is 1 and includes it.
        structure: structure or group of all of them.
    """

    kind = "piecewise"
    stages: tuple[tuple[float, VolumeSchedule], ...]
    structure: str = "ventricles"

    def __post_init__(self) -> None:
        stages = tuple((float(until), schedule) for until, schedule in self.stages)
        object.__setattr__(self, "stages", stages)
        ends = [until for until, _ in stages]
        if not ends or ends[-1] != 1 or any(not low < high for low, high in zip([0.0, *ends], ends, strict=False)):
            raise BoundsError(
                f"schedule {self.kind}: stages end at {ends}; allowed: increasing numbers above 0, the last one 1"
            )
        others = sorted({schedule.structure for _, schedule in stages} - {self.structure})
        if others:
            raise BoundsError(
                f"schedule {self.kind}: is of {self.structure!r}, a stage of {', '.join(others)}; name the same in all"
            )

    def draw(self, progress: float, rng: np.random.Generator) -> float:
        schedule, own_progress = self._at(progress)
        return schedule.draw(own_progress, rng)

    def cdf(self, volume_ml: float, progress: float) -> float:
        schedule, own_progress = self._at(progress)
        return schedule.cdf(volume_ml, own_progress)

    @property
    def phases(self) -> tuple[float, ...]:
        starts = (0.0, *(until for until, _ in self.stages))
        return tuple(
            start + (until - start) * own
            for start, (until, schedule) in zip(starts, self.stages, strict=False)
            for own in schedule.phases
        )

    def _at(self, progress: float) -> tuple[VolumeSchedule, float]:
        check_progress(progress)
        start = 0.0
        for until, schedule in self.stages:
            if progress < until or until == 1:
                return schedule, (progress - start) / (until - start)
            start = until
        raise AssertionError("the last stage ends at 1")

    def to_dict(self) -> dict[str, Any]:
        stages = [{"until": until, "schedule": schedule.to_dict()} for until, schedule in self.stages]
        return self._described(stages=stages)
