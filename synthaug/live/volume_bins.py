"""Volumes in bins: what a pool has, what a schedule wants, and what is asked for next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthaug.schedules import VolumeSchedule

NUM_BINS = 24


class VolumeBins:
    """Bins of equal width on a logarithmic scale between two volumes.

    Args:
        low_ml: lower end of the first bin, above 0.
        high_ml: upper end of the last one.
        count: how many bins.
    """

    def __init__(self, low_ml: float, high_ml: float, count: int = NUM_BINS) -> None:
        self.edges_ml = np.geomspace(low_ml, high_ml, count + 1)

    def __len__(self) -> int:
        return len(self.edges_ml) - 1

    def find(self, volume_ml: float) -> int:
        """The bin of a volume; the outermost ones take what lies beyond them."""
        return int(np.clip(np.searchsorted(self.edges_ml, volume_ml, side="right") - 1, 0, len(self) - 1))

    def wanted(self, schedule: VolumeSchedule, progress: float, look_ahead: float) -> np.ndarray:
        """Share of each bin, over what the schedule asks for now and a little later."""
        ahead = min(1.0, progress + look_ahead)
        share = schedule.bin_weights(self.edges_ml, progress) + schedule.bin_weights(self.edges_ml, ahead)
        return share / share.sum() if share.sum() > 0 else np.full(len(self), 1 / len(self))

    def lacking(self, held: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """How many cases each bin lacks for the held ones, and one more, to be spread as wanted."""
        return np.clip(wanted * (held.sum() + 1) - held, 0, None)

    def next_target(
        self,
        schedule: VolumeSchedule,
        progress: float,
        look_ahead: float,
        volumes_ml: Sequence[float],
        wanted: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[int, float]:
        """Bin and volume to ask for.

        Args:
            schedule: of volumes in mL.
            progress: of the training.
            look_ahead: share of the training.
            volumes_ml: of the cases that are held and may still be drawn.
            wanted: ``(bins,)``, share of each that there should be.
            rng: source of the draws.
        """
        held = np.bincount([self.find(one) for one in volumes_ml], minlength=len(self)).astype(float)
        lacking = self.lacking(held, wanted) * (wanted > 0)
        chances = lacking if lacking.sum() > 0 else wanted
        chosen = int(rng.choice(len(self), p=chances / chances.sum()))
        return chosen, self._within(schedule, progress, look_ahead, chosen, rng)

    def _within(
        self, schedule: VolumeSchedule, progress: float, look_ahead: float, chosen: int, rng: np.random.Generator
    ) -> float:
        """A volume of the schedule within a bin; its middle where hardly any of the schedule's draws fall there."""
        low, high = self.edges_ml[chosen : chosen + 2]
        for _ in range(200):
            volume_ml = schedule.draw(min(1.0, progress + look_ahead * rng.random()), rng)
            if low <= volume_ml < high:
                return float(volume_ml)
        return float(np.sqrt(low * high))
