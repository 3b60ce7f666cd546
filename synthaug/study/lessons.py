"""What a network is shown at each step: real cases and synthetic pairs in the shares of its arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from synthaug.schedules import MixSchedule, VolumeSchedule
from synthaug.sources.volume_index import VolumeIndex
from synthaug.study.grid_case import GridCase

_DRAW_STREAM = 0x64726177
_SHARE, _WHICH = 1, 2


class PairPool:
    """Pairs on the grid, drawn so that their volumes follow a schedule.

    Args:
        names: of the pairs.
        volumes_ml: of the scheduled structure; anything where there is no schedule.
        schedule: None: every pair is as likely as any other.
        read: gives a pair by name; what was read is kept.
    """

    def __init__(
        self,
        names: Sequence[str],
        volumes_ml: Sequence[float],
        schedule: VolumeSchedule | None,
        read: Callable[[str], GridCase],
    ) -> None:
        self._index = VolumeIndex(names, volumes_ml)
        self._schedule = schedule
        self._read = read
        self._kept: dict[str, GridCase] = {}
        self._chances: np.ndarray | None = None

    def draw(self, progress: float, rng: np.random.Generator) -> GridCase:
        """A pair at this progress of the training."""
        name = self._index.names[int(rng.choice(len(self._index), p=self._chances_at(progress)))]
        if name not in self._kept:
            self._kept[name] = self._read(name)
        return self._kept[name]

    def _chances_at(self, progress: float) -> np.ndarray:
        if self._chances is None or not (self._schedule is None or self._schedule.is_constant):
            self._chances = self._index.case_chances(self._schedule, progress)
        return self._chances


@dataclass(frozen=True)
class Lessons:
    """Draws that depend on seed and step alone: a training that resumes, or another arm, sees the same real cases.

    Attributes:
        real: training cases.
        pools: of synthetic pairs, with weights that sum to 1.
        mix: share of synthetic cases over the progress.
        seed: of all draws.
        second: cases of the data set that the training ends on.
        switch: progress from which on only these are drawn; 1 where there are none.
    """

    real: Sequence[GridCase]
    pools: Sequence[tuple[float, PairPool]]
    mix: MixSchedule
    seed: int
    second: Sequence[GridCase] = field(default=())
    switch: float = 1.0

    def draw(self, step: int, slot: int, progress: float) -> GridCase:
        """The case at a place of the batch of a step.

        Args:
            step: of the training, from 0.
            slot: place in the batch, from 0.
            progress: of the training, 0 to below 1.

        Raises:
            SynthAugError: a pair that is read for the first time is damaged, or does not fit the grid.
        """
        which = np.random.default_rng([_DRAW_STREAM, _WHICH, self.seed, step, slot])
        if progress >= self.switch:
            return self.second[int(which.integers(len(self.second)))]
        progress = progress / self.switch
        share = np.random.default_rng([_DRAW_STREAM, _SHARE, self.seed, step, slot])
        if share.random() >= self.mix.fraction(progress):
            return self.real[int(which.integers(len(self.real)))]
        chosen = share.choice(len(self.pools), p=[weight for weight, _ in self.pools])
        return self.pools[int(chosen)][1].draw(progress, which)
