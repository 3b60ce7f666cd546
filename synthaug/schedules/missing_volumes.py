"""What real cases lack of a range, asked for before they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from synthaug.errors import BoundsError
from synthaug.schedules.histogram_matching import HistogramMatching
from synthaug.schedules.uniform import Uniform
from synthaug.schedules.volume_schedule import check_range, check_volumes

MOST_BINS = 10
"""Of the range; few real cases have half as many as there are of them, lest a single one bar its surroundings."""


@dataclass(frozen=True)
class MissingVolumes:
    """The wish ``missing:LOW:HIGH``: all volumes of a range alike over real and synthetic cases together, as far as the
    share of synthetic ones allows.

    It is no schedule before real cases are measured: those that a fold trains on, no others.

    Attributes:
        low_ml: lower end of the range in mL.
        high_ml: upper end.
        structure: structure or group that the volumes are of.

    Raises:
        BoundsError: not two volumes in order.
    """

    kind: ClassVar[str] = "missing"
    low_ml: float
    high_ml: float
    structure: str = "ventricles"

    def __post_init__(self) -> None:
        check_volumes(self.kind, self.low_ml, self.high_ml)
        check_range(self.kind, self.low_ml, self.high_ml)
        if not (np.diff(self._edges_ml(MOST_BINS)) > 0).all():
            raise BoundsError(
                f"schedule {self.kind}: {self.low_ml!r} to {self.high_ml!r} mL cannot be divided into {MOST_BINS} "
                "bins; give a wider range"
            )

    @property
    def target(self) -> Uniform:
        """What real and synthetic cases together are to follow."""
        return Uniform(self.low_ml, self.high_ml, self.structure)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `parse_schedule_or_missing` reads it back."""
        return {"kind": self.kind, "low_ml": self.low_ml, "high_ml": self.high_ml, "structure": self.structure}

    def beside(self, real_ml: Sequence[float], fraction: float) -> HistogramMatching:
        """The schedule that fills what these real cases lack.

        Args:
            real_ml: their volumes in mL.
            fraction: share of synthetic cases in training, above 0 and up to 1.

        Raises:
            BoundsError: no real case, or a share out of range.
        """
        if not 0 < fraction <= 1:
            raise BoundsError(
                f"schedule {self.kind}: a share of synthetic cases of {fraction:g} leaves nothing to be filled; "
                "allowed: above 0, up to 1; choose another --ratio, --mix, or mix of the configuration"
            )
        bins = min(max(len(real_ml) // 2, 2), MOST_BINS)
        edges_ml = tuple(self._edges_ml(bins).tolist())
        return HistogramMatching(self.target, tuple(real_ml), fraction, edges_ml, self.structure)

    def _edges_ml(self, bins: int) -> np.ndarray:
        return np.linspace(self.low_ml, self.high_ml, bins + 1)
