"""What real cases lack of a range, asked for before they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from synthaug.errors import BoundsError
from synthaug.schedules.histogram_matching import HistogramMatching
from synthaug.schedules.uniform import Uniform
from synthaug.schedules.volume_schedule import check_range, check_volumes

NUM_BINS = 10
"""Of the range: few real cases do not leave a bin of one mL empty beside a full one."""


@dataclass(frozen=True)
class MissingVolumes:
    """The wish ``missing:LOW:HIGH``: all volumes of a range alike over real and synthetic cases together.

    It is no schedule before the real cases are measured.

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
                "allowed: above 0, up to 1"
            )
        edges = np.linspace(self.low_ml, self.high_ml, NUM_BINS + 1).tolist()
        target = Uniform(self.low_ml, self.high_ml, self.structure)
        return HistogramMatching(target, tuple(real_ml), fraction, tuple(edges), self.structure)
