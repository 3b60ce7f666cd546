"""Cases by volume, and how likely each is to be drawn so that the draws follow a schedule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthaug.schedules import VolumeSchedule

_NO_MASS = 1e-9


class VolumeIndex:
    """Cases in bins of volume.

    The bins hold about equally many cases, so that none is empty; their edges lie midway between cases. A case's
    chance is the schedule's mass in its bin, shared among the bin's cases. Mass that the schedule has outside the range
    of the cases is left out, and what remains is scaled up; where nothing remains, the nearest bin takes all.

    Args:
        names: of the cases.
        volumes_ml: of the scheduled structure, one per case.
        max_bins: fewer, larger bins reuse single cases less, more bins follow the schedule more closely.
    """

    def __init__(self, names: Sequence[str], volumes_ml: Sequence[float], max_bins: int = 256) -> None:
        order = sorted(range(len(names)), key=lambda i: (volumes_ml[i], names[i]))
        self.names = [names[i] for i in order]
        self.volumes_ml = np.array([volumes_ml[i] for i in order], np.float64)
        self.edges_ml = self._edges(max_bins)
        self.bin_of = np.searchsorted(self.edges_ml[1:-1], self.volumes_ml, side="left")
        self.cases_in_bin = np.bincount(self.bin_of, minlength=len(self.edges_ml) - 1)
        self._starts = np.cumsum(self.cases_in_bin) - self.cases_in_bin

    def __len__(self) -> int:
        return len(self.names)

    def _edges(self, max_bins: int) -> np.ndarray:
        volumes = self.volumes_ml
        if not len(volumes):
            return np.array([0.0, 1.0])
        starts = np.unique(np.linspace(0, len(volumes), min(max_bins, len(volumes)) + 1).astype(int))[1:-1]
        inner = np.unique((volumes[starts - 1] + volumes[starts]) / 2)
        inner = inner[(inner > volumes[0]) & (inner < volumes[-1])]
        # a case stands for volumes a little beyond its own
        margin = max(1.0, 0.05 * float(volumes[-1] - volumes[0]))
        return np.concatenate([[max(0.0, volumes[0] - margin)], inner, [volumes[-1] + margin]])

    def coverage(self, schedule: VolumeSchedule, progress: float) -> float:
        """Share of the schedule's mass that lies in the range of the cases."""
        return float(schedule.bin_weights(self.edges_ml, progress).sum())

    def bin_chances(self, schedule: VolumeSchedule, progress: float) -> np.ndarray:
        """Chance of each bin, summing to 1."""
        mass = np.where(self.cases_in_bin > 0, schedule.bin_weights(self.edges_ml, progress), 0.0)
        if mass.sum() <= _NO_MASS:
            mass[0] = schedule.cdf(float(self.edges_ml[0]), progress)
            mass[-1] += 1.0 - schedule.cdf(float(self.edges_ml[-1]), progress)
        if mass.sum() <= _NO_MASS:
            mass = self.cases_in_bin.astype(np.float64)
        return mass / mass.sum()

    def case_chances(self, schedule: VolumeSchedule | None, progress: float) -> np.ndarray:
        """Chance of each case, in the order of ``names``, summing to 1; equal chances without a schedule."""
        if schedule is None:
            return np.full(len(self), 1.0 / len(self))
        chances = self.bin_chances(schedule, progress)
        return chances[self.bin_of] / self.cases_in_bin[self.bin_of]

    def case_at(self, number: float, bin_chances: np.ndarray | None) -> int:
        """Position in ``names`` of the case that a number leads to; much cheaper than the chances of all cases.

        Args:
            number: 0 to 1, evenly drawn.
            bin_chances: from ``bin_chances``; None: every case is as likely as any other.
        """
        if bin_chances is None:
            return min(int(number * len(self)), len(self) - 1)
        below = np.cumsum(bin_chances)
        reached = number * below[-1]  # which is 1 but for rounding
        chosen = min(int(np.searchsorted(below, reached, side="right")), int(np.flatnonzero(bin_chances)[-1]))
        cases = int(self.cases_in_bin[chosen])
        inside = (reached - (below[chosen] - bin_chances[chosen])) / bin_chances[chosen]
        return int(self._starts[chosen]) + min(max(int(inside * cases), 0), cases - 1)
