"""A condition that is corrected while a label map emerges from noise."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

LARGEST_STEP = 0.5
"""Of the logarithm of a condition, at one network evaluation."""


class VolumeFeedback:
    """Closed-loop control within one sample.

    Every network evaluation estimates the clean latent, hence the volumes that the label map is going to have. What
    they miss is added to the condition of the next evaluation (an integral controller on logarithms), so that the
    volumes come out at the cost of an uncorrected sample.

    Args:
        aims_ml: conditions to begin with, in mL by control.
        corrected: controls whose volumes should come out as aimed at; the conditions of the others stay.
        limits_ml: what a condition may be, in mL.
        gain: share of a miss that is corrected at once; 0 leaves the condition at the aims.
    """

    def __init__(
        self,
        aims_ml: Mapping[str, float],
        corrected: Collection[str],
        limits_ml: Mapping[str, tuple[float, float]],
        gain: float,
    ) -> None:
        self._aims = {name: math.log(volume_ml) for name, volume_ml in aims_ml.items()}
        self._limits = {name: (math.log(limits_ml[name][0]), math.log(limits_ml[name][1])) for name in aims_ml}
        self._corrected = tuple(name for name in aims_ml if name in corrected)
        self._gain = gain
        self._condition: dict[str, float] = {}
        for name, aim in self._aims.items():
            self._set(name, aim)

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the controls that are corrected."""
        return self._corrected

    @property
    def active(self) -> bool:
        """Whether anything is corrected at all."""
        return self._gain > 0 and bool(self._corrected)

    @property
    def condition_ml(self) -> dict[str, float]:
        """Condition of the next evaluation, in mL by control."""
        return {name: math.exp(value) for name, value in self._condition.items()}

    def observe(self, expected_ml: Mapping[str, float]) -> None:
        """Take note of the volumes that are to be expected, in mL by control, above 0."""
        for name in self._corrected:
            step = self._gain * (self._aims[name] - math.log(expected_ml[name]))
            self._set(name, self._condition[name] + min(max(step, -LARGEST_STEP), LARGEST_STEP))

    def _set(self, name: str, value: float) -> None:
        low, high = self._limits[name]
        self._condition[name] = min(max(value, low), high)
