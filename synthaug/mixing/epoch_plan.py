"""Which items of an epoch are synthetic."""

from __future__ import annotations

import numpy as np

from synthaug.schedules import MixSchedule
from synthaug.sources import Stream, stream

KEPT = 4
"""Plans that are kept: where passes are counted item by item, two epochs meet at the end of each."""


class EpochPlan:
    """Draws the synthetic items of an epoch, and keeps the last few plans.

    Args:
        mix: share of synthetic items by progress.
        items: length of the dataset of real samples.
    """

    def __init__(self, mix: MixSchedule, items: int) -> None:
        self.mix, self.items = mix, items
        self._plans: dict[tuple[int, int, int, float], np.ndarray] = {}

    def planned(self, seed: int, rank: int, epoch: int, progress: float) -> np.ndarray:
        """For each item whether it is synthetic, bool ``(items,)``.

        The share is that of the schedule at ``progress`` (0 to 1) to the nearest item, rounded at random where it does
        not divide; which items they are follows from seed, rank and epoch.
        """
        key = (seed, rank, epoch, progress)
        if key not in self._plans:
            rng = stream(Stream.PLAN, seed, rank, epoch)
            wanted = float(self.mix.fraction(progress)) * self.items
            count = min(self.items, int(np.floor(wanted + rng.random() * (wanted % 1 > 0))))
            planned = np.zeros(self.items, bool)
            planned[rng.permutation(self.items)[:count]] = True
            while len(self._plans) >= KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = planned
        return self._plans[key]
