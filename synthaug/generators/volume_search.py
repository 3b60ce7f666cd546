"""The condition under which one noise gives the volumes asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

FIRST_SLOPE = 1.5
"""Guidance exaggerates: the logarithm of the realised volume rises faster than that of the condition."""

SLOPES = (0.5, 4.0)
LARGEST_STEP = 1.0
"""Of the logarithm of a condition, in one round."""


@dataclass(frozen=True)
class VolumeSearch:
    """Closed-loop control: sample, measure, correct the condition, and sample again from the same noise.

    The noise decides about the anatomy, and a little about the volume too. Secant steps on the logarithms, one control
    beside the other, take that share of the volume back without another noise, hence without choosing among samples.

    Attributes:
        targets_ml: volumes asked for, in mL.
        limits_ml: what a condition may be, in mL; a target or a first condition beyond them widens them.
        tolerance: relative error of every volume at which the search ends.
        rounds: samples after the first one, at most.
    """

    targets_ml: Mapping[str, float]
    limits_ml: Mapping[str, tuple[float, float]]
    tolerance: float
    rounds: int

    def run(
        self,
        start_ml: Mapping[str, float],
        sample: Callable[[Mapping[str, float]], torch.Tensor],
        measure: Callable[[torch.Tensor], Mapping[str, float]],
    ) -> torch.Tensor:
        """Label map whose volumes come nearest to the targets.

        Args:
            start_ml: condition of the first sample, in mL.
            sample: gives the label map for a condition; always from the same noise.
            measure: gives the volumes of a label map in mL, above 0.
        """
        condition = {name: math.log(volume_ml) for name, volume_ml in start_ml.items()}
        limits = {name: self._limits(name, volume_ml) for name, volume_ml in start_ml.items()}
        before: dict[str, tuple[float, float]] = {}
        best_error = math.inf
        for last in [False] * self.rounds + [True]:
            label = sample({name: math.exp(value) for name, value in condition.items()})
            volumes_ml = measure(label)
            realised = {name: math.log(volumes_ml[name]) for name in condition}
            misses = {name: math.log(self.targets_ml[name]) - realised[name] for name in condition}
            error = max(map(abs, misses.values()), default=0.0)
            if error < best_error:
                best_error, best = error, label
            if last or error <= math.log1p(self.tolerance):
                break
            following = {}
            for name, value in condition.items():
                slope = _slope(before.get(name), (value, realised[name]))
                step = min(max(misses[name] / slope, -LARGEST_STEP), LARGEST_STEP)
                low, high = limits[name]
                following[name] = min(max(value + step, low), high)
                before[name] = (value, realised[name])
            if following == condition:
                break  # held by the limits: the same sample would come again
            condition = following
        return best

    def _limits(self, name: str, start_ml: float) -> tuple[float, float]:
        """Logarithms of the lowest and highest condition; target and start are always among what is allowed."""
        volumes_ml = (*self.limits_ml[name], self.targets_ml[name], start_ml)
        return math.log(min(volumes_ml)), math.log(max(volumes_ml))


def _slope(before: tuple[float, float] | None, now: tuple[float, float]) -> float:
    if before is None or abs(now[0] - before[0]) < 1e-6:
        return FIRST_SLOPE
    return min(max((now[1] - before[1]) / (now[0] - before[0]), SLOPES[0]), SLOPES[1])
