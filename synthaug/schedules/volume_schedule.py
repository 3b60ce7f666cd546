"""The base of all volume schedules."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from synthaug.errors import BoundsError

ROUNDING = 1e-9
"""Share of the draws out of bounds that is none."""


class VolumeSchedule(ABC):
    """Maps training progress and a random generator to a target volume in mL.

    Every schedule is a frozen dataclass whose last field, ``structure``, names the structure or group that the volume
    is of.

    Attributes:
        kind: name in JSON and in texts.
        structure: structure or group whose volume is drawn.
    """

    kind: ClassVar[str]
    structure: str = "ventricles"

    @abstractmethod
    def draw(self, progress: float, rng: np.random.Generator) -> float:
        """Draw a volume in mL.

        Args:
            progress: of the training, 0 to 1.
            rng: all randomness comes from it.
        """

    @abstractmethod
    def cdf(self, volume_ml: float, progress: float) -> float:
        """Probability that a draw at this progress is at most ``volume_ml``."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `parse_schedule` reads it back."""

    @property
    def phases(self) -> tuple[float, ...]:
        """A progress within each stretch of the training over which the distribution stays the same."""
        return (0.5,)

    @property
    def is_constant(self) -> bool:
        """Whether the distribution is the same at any progress."""
        return len(self.phases) == 1

    def share_outside(self, low_ml: float, high_ml: float, progress: float) -> float:
        """Probability of a draw below ``low_ml`` or above ``high_ml``."""
        below = self.cdf(float(np.nextafter(low_ml, -np.inf)), progress)
        return below + 1.0 - self.cdf(float(high_ml), progress)

    def limits_within(self, limits_ml: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
        """What a generator allows of the structure that is drawn, lowest and highest mL, if it allows all draws.

        Args:
            limits_ml: of the generator, by structure or group.

        Raises:
            BoundsError: the structure takes no target, or a share of the volumes is out of bounds.
        """
        if self.structure not in limits_ml:
            known = ", ".join(f"{name} {low:g} to {high:g} mL" for name, (low, high) in limits_ml.items()) or "none"
            raise BoundsError(
                f"schedule ({self.kind}): the generator takes no target for {self.structure!r}; allowed: {known}"
            )
        low_ml, high_ml = limits_ml[self.structure]
        outside = max(self.share_outside(low_ml, high_ml, progress) for progress in self.phases)
        if outside > ROUNDING:
            raise BoundsError(
                f"schedule ({self.kind}): a share of {outside:.2g} of its volumes is out of bounds; allowed: "
                f"{self.structure} {low_ml:g} to {high_ml:g} mL; choose a schedule that ends there "
                "(uniform:LOW:HIGH, normal:MEAN:SD:LOW:HIGH)"
            )
        return low_ml, high_ml

    def bin_weights(self, edges_ml: Sequence[float] | np.ndarray, progress: float) -> np.ndarray:
        """Probability of each bin.

        Args:
            edges_ml: bin edges in mL, increasing; a bin holds its upper edge, the first one its lower edge too.
            progress: of the training, 0 to 1.

        Returns:
            float64, one entry less than edges; sums to less than 1 where the schedule reaches beyond the edges.
        """
        edges = np.asarray(edges_ml, dtype=np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise BoundsError(f"bin edges {edges.tolist()}; allowed: two or more increasing volumes in mL")
        below = np.array([self.cdf(float(edge), progress) for edge in edges])
        # a schedule may have a point mass on the first edge
        below[0] = self.cdf(float(np.nextafter(edges[0], -np.inf)), progress)
        return np.maximum(np.diff(below), 0.0)

    def _described(self, **fields: Any) -> dict[str, Any]:
        return {"kind": self.kind, **fields, "structure": self.structure}


def check_volumes(where: str, *volumes_ml: float, positive: bool = False) -> None:
    """Refuse what is no volume.

    Raises:
        BoundsError: negative, NaN or infinite, or 0 where a logarithm is taken of it.
    """
    for volume_ml in volumes_ml:
        if not _is_volume(volume_ml) or (positive and volume_ml == 0):
            allowed = "more than 0" if positive else "0 or more"
            raise BoundsError(f"schedule {where}: {volume_ml!r} mL; allowed: a volume in mL, {allowed}")


def _is_volume(value: Any) -> bool:
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value) and bool(value >= 0)
    except OverflowError:  # an integer beyond all floats
        return False


def check_range(where: str, low_ml: float, high_ml: float) -> None:
    """Refuse a range whose ends are not in order.

    Raises:
        BoundsError: low is not below high.
    """
    if not low_ml < high_ml:
        raise BoundsError(f"schedule {where}: {low_ml:g} to {high_ml:g} mL; the first must be below the second")
