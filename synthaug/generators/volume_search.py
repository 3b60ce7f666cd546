"""The volumes to aim at under which one noise gives the volumes asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

SLOPES = (0.5, 4.0)
LARGEST_DETOUR = 1.0
"""Of the logarithm of an aim from that of its target."""


class VolumeSearch:
    """Closed-loop control: sample, measure, correct the aim, and sample again from the same noise.

    The noise decides about the anatomy, and a little about the volume too. Secant steps on the logarithms, one control
    beside the other, take that share of the volume back without another noise, hence without choosing among samples.

    Args:
        targets_ml: volumes asked for, in mL.
        tolerance: relative error of every volume at which the search ends.
        rounds: samples after the first one, at most.
    """

    def __init__(self, targets_ml: Mapping[str, float], tolerance: float, rounds: int) -> None:
        self._targets = {name: math.log(volume_ml) for name, volume_ml in targets_ml.items()}
        self._tolerance = math.log1p(tolerance)
        self._rounds = rounds
        self._aims = dict(self._targets)
        self._before: dict[str, tuple[float, float]] = {}
        self._best: torch.Tensor | None = None
        self._best_error = math.inf
        self.done = False
        """Whether another sample would bring nothing."""

    @property
    def aims_ml(self) -> dict[str, float]:
        """Volumes that the next sample, always from the same noise, is to be made for."""
        return {name: math.exp(value) for name, value in self._aims.items()}

    @property
    def best(self) -> torch.Tensor:
        """Label map, of those observed, whose volumes come nearest to the targets."""
        if self._best is None:
            raise RuntimeError("no sample has been observed; call observe first")
        return self._best

    def observe(self, label: torch.Tensor, volumes_ml: Mapping[str, float]) -> None:
        """Take note of a sample for the aims, and of its volumes in mL, above 0."""
        realised = {name: math.log(volumes_ml[name]) for name in self._aims}
        misses = {name: self._targets[name] - realised[name] for name in self._aims}
        error = max(map(abs, misses.values()), default=0.0)
        if self._best is None or error < self._best_error:
            self._best_error, self._best = error, label
        following = {}
        for name, aim in self._aims.items():
            slope = _slope(self._before.get(name), (aim, realised[name]))
            self._before[name] = (aim, realised[name])
            detour = aim + misses[name] / slope - self._targets[name]
            following[name] = self._targets[name] + min(max(detour, -LARGEST_DETOUR), LARGEST_DETOUR)
        # at the end of every detour the same sample would come again
        self.done = self._rounds == 0 or error <= self._tolerance or following == self._aims
        self._rounds -= 1
        self._aims = following


def _slope(before: tuple[float, float] | None, now: tuple[float, float]) -> float:
    """Rise of the realised volume with the aim, both logarithms; 1 before anything is known."""
    if before is None or abs(now[0] - before[0]) < 1e-6:
        return 1.0
    return min(max((now[1] - before[1]) / (now[0] - before[0]), SLOPES[0]), SLOPES[1])
