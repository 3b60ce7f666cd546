"""What the networks' intensities stand for in an image channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_OF_UNIT = {"ct": -1000.0}
"""Channels, by name, whose intensities have a unit, and its least value: scanners pad with less than air has."""

BRIGHT_PERCENTILE = 99.5
"""Percentile of a channel's tissue that normalised intensity 1 stands for."""

DARK_PERCENTILE = 0.5
"""The same for 0, in channels that go below 0."""

MOST = 1.5
"""Largest normalised intensity of tissue."""

MOST_OF_UNIT = 3.0
"""The same in channels with a unit: in CT, bone and metal are far beyond the rest."""

LEAST = 0.002
"""Least normalised intensity of tissue in channels whose background is 0; above it, so that background alone is 0."""

FAR_BELOW = -0.5
"""The same in all others."""


def without_padding(image: np.ndarray, channels: Sequence[str]) -> np.ndarray:
    """Image ``(C, X, Y, Z)`` with nothing below the least value of its channels' units."""
    least = [LEAST_OF_UNIT.get(name.lower(), -np.inf) for name in channels]
    return np.maximum(image, np.array(least, dtype=image.dtype)[:, None, None, None])


@dataclass(frozen=True)
class IntensityScale:
    """A straight line between a channel's intensities and those of the networks.

    Attributes:
        zero: intensity that normalised 0 stands for.
        one: intensity that normalised 1 stands for.
        background: intensity of all that is no tissue.
        absolute: whether intensities have a unit, such as HU, and the line is that of every case; otherwise each case
            has a line of its own, and generated images that of a middling one.
    """

    zero: float
    one: float
    background: float = 0.0
    absolute: bool = False

    @classmethod
    def of(cls, tissue: np.ndarray, background: float = 0.0, *, absolute: bool = False) -> IntensityScale:
        """Scale by the percentiles of a channel's tissue; normalised 0 is 0 where nothing to speak of lies below."""
        low, high = (float(one) for one in np.percentile(tissue, (DARK_PERCENTILE, BRIGHT_PERCENTILE)))
        zero = 0.0 if low >= 0 and background == 0 else low
        return cls(zero, high, background, absolute)

    @classmethod
    def middling(cls, scales: list[IntensityScale]) -> IntensityScale:
        """The scale of generated images: medians over those of the cases."""
        zero, one, background = np.median([(each.zero, each.one, each.background) for each in scales], axis=0)
        return cls(float(zero), float(one), float(background), scales[0].absolute)

    @property
    def limits(self) -> tuple[float, float]:
        """Least and largest normalised intensity of tissue."""
        most = MOST_OF_UNIT if self.absolute else MOST
        return (LEAST if self.zero == 0 and self.background == 0 else FAR_BELOW, most)

    def normalise(self, values: np.ndarray) -> np.ndarray:
        """Intensities as the networks have them, float32 of any shape, within the limits of tissue."""
        normal = (values.astype(np.float32) - np.float32(self.zero)) / np.float32(self.one - self.zero)
        return normal.clip(min(self.limits[0], 0.0), self.limits[1])

    def restore(self, normal: np.ndarray, tissue: np.ndarray) -> np.ndarray:
        """Intensities of normalised values where ``tissue`` is True, the background's elsewhere; float32.

        Args:
            normal: any shape.
            tissue: bool, the same shape.
        """
        values = normal.clip(*self.limits) * np.float32(self.one - self.zero) + np.float32(self.zero)
        return np.where(tissue, values, np.float32(self.background)).astype(np.float32)
