"""How a measure goes with the size of the ventricles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trend:
    """A measure's straight line over the logarithm of the ventricular volume, and how far real brains are from it.

    Attributes:
        slope: of the line.
        intercept: of the line.
        reach: largest distance from the line that is within the range of real brains, above 0.
    """

    slope: float
    intercept: float
    reach: float

    @classmethod
    def through(cls, x: np.ndarray, y: np.ndarray, slack: float) -> Trend:
        """Least squares; the reach is the largest residual or three deviations, whichever is more, and ``slack``."""
        spread = x - x.mean()
        slope = float(spread @ y / (spread @ spread)) if float(spread @ spread) > 1e-9 else 0.0
        intercept = float(y.mean() - slope * x.mean())
        residuals = np.abs(y - intercept - slope * x)
        return cls(slope, intercept, max(float(residuals.max()), 3 * float(np.sqrt(np.mean(residuals**2)))) + slack)

    def excess(self, x: float, y: float) -> float:
        """Distance from the line as a multiple of the reach: above 1 is out of range."""
        return abs(y - self.intercept - self.slope * x) / self.reach

    def nearest(self, x: float, y: float, share: float) -> float:
        """Nearest value to ``y`` that is within a share of the range."""
        middle = self.intercept + self.slope * x
        return min(max(y, middle - share * self.reach), middle + share * self.reach)
