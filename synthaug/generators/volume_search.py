"""The volumes to aim at under which one noise gives the volumes asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

SLOPES = (0.5, 4.0)
LARGEST_DETOUR = 1.0
"""Of the logarithm of an aim from that of its target."""


@dataclass(frozen=True)
class VolumeSearch:
    """Closed-loop control: sample, measure, correct the aim, and sample again from the same noise.

    The noise decides about the anatomy, and a little about the volume too. Secant steps on the logarithms, one control
    beside the other, take that share of the volume back without another noise, hence without choosing among samples.

    Attributes:
        targets_ml: volumes asked for, in mL.
        tolerance: relative error of every volume at which the search ends.
        rounds: samples after the first one, at most.
    """

    targets_ml: Mapping[str, float]
    tolerance: float
    rounds: int

    def run(
        self,
        sample: Callable[[Mapping[str, float]], torch.Tensor],
        measure: Callable[[torch.Tensor], Mapping[str, float]],
    ) -> torch.Tensor:
        """Label map whose volumes come nearest to the targets.

        Args:
            sample: gives the label map for volumes to aim at, in mL; always from the same noise.
            measure: gives the volumes of a label map in mL, above 0.
        """
        targets = {name: math.log(volume_ml) for name, volume_ml in self.targets_ml.items()}
        aims = dict(targets)
        before: dict[str, tuple[float, float]] = {}
        best_error = math.inf
        for last in [False] * self.rounds + [True]:
            label = sample({name: math.exp(value) for name, value in aims.items()})
            volumes_ml = measure(label)
            realised = {name: math.log(volumes_ml[name]) for name in aims}
            misses = {name: targets[name] - realised[name] for name in aims}
            error = max(map(abs, misses.values()), default=0.0)
            if error < best_error:
                best_error, best = error, label
            if last or error <= math.log1p(self.tolerance):
                break
            following = {}
            for name, aim in aims.items():
                slope = _slope(before.get(name), (aim, realised[name]))
                before[name] = (aim, realised[name])
                detour = aim + misses[name] / slope - targets[name]
                following[name] = targets[name] + min(max(detour, -LARGEST_DETOUR), LARGEST_DETOUR)
            if following == aims:
                break  # at the end of every detour: the same sample would come again
            aims = following
        return best


def _slope(before: tuple[float, float] | None, now: tuple[float, float]) -> float:
    """Rise of the realised volume with the aim, both logarithms; 1 before anything is known."""
    if before is None or abs(now[0] - before[0]) < 1e-6:
        return 1.0
    return min(max((now[1] - before[1]) / (now[0] - before[0]), SLOPES[0]), SLOPES[1])
