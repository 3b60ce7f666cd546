"""The volumes that a generator can be asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthaug.conditions.condition import Condition
from synthaug.errors import BoundsError, did_you_mean, shortened


@dataclass(frozen=True)
class VolumeBounds:
    """Lowest and highest target volume of each structure or group that a generator takes a target for.

    Attributes:
        limits_ml: ``{"ventricles": (5.0, 150.0)}``, both ends allowed.

    Raises:
        BoundsError: limits that are not two numbers with 0 <= low <= high.
    """

    limits_ml: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        limits = {}
        for name, pair in self.limits_ml.items():
            try:
                low, high = (float(one) for one in pair)
            except (TypeError, ValueError) as error:
                raise BoundsError(f"bounds of {name!r}: {pair!r}; allowed: lowest and highest volume in mL") from error
            if not (math.isfinite(high) and 0 <= low <= high):
                raise BoundsError(f"bounds of {name!r}: {low:g} to {high:g} mL; allowed: 0 <= low <= high")
            limits[str(name)] = (low, high)
        object.__setattr__(self, "limits_ml", limits)

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.limits_ml.items())))

    def check(self, condition: Condition) -> None:
        """Refuse targets that the generator was not made for.

        Raises:
            BoundsError: a structure that takes no target, or a volume out of bounds unless extrapolation is asked for.
        """
        for name, volume_ml in condition.targets_ml.items():
            if name not in self.limits_ml:
                shown = shortened(name)
                raise BoundsError(
                    f"target {shown}={volume_ml:g} mL: the generator takes no target for {shown!r}"
                    f"{did_you_mean(name, self.limits_ml)}; allowed: {self.describe()}"
                )
            low, high = self.limits_ml[name]
            if not condition.extrapolate and not low <= volume_ml <= high:
                raise BoundsError(
                    f"target {name}={volume_ml:g} mL is out of bounds; allowed: {low:g} to {high:g} mL; choose a "
                    "volume within, or ask for extrapolation by name (extrapolate=True, --extrapolate)"
                )

    def describe(self) -> str:
        """All limits in words: ``ventricles 5 to 150 mL``."""
        return ", ".join(f"{name} {low:g} to {high:g} mL" for name, (low, high) in self.limits_ml.items()) or "none"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, in mL; `from_dict` reads it back."""
        return {name: [low, high] for name, (low, high) in self.limits_ml.items()}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> VolumeBounds:
        """Read the form that `to_dict` writes.

        Raises:
            BoundsError: limits that are not two ordered numbers.
        """
        return cls(dict(d))
