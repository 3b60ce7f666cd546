"""95 % confidence intervals of figures that are measured on some pairs or cases.

Means, slopes and the like: percentile bootstrap over cases (Efron and Tibshirani 1993, chapter 13), since the volumes
of one brain are no independent measurements. Shares of cases: Wilson's score interval (1927), since the bootstrap of a
share of 0 or 1 has no width, however few the cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
RESAMPLES = 2000
FEWEST_CASES = 8
"""Resamples of fewer cases repeat each other, and their percentiles are far too narrow."""

SEED = 0
"""Each interval draws from a generator of its own, so that no figure depends on which others were asked for."""

_MOST_DRAWN = 1 << 22
"""Cases drawn at once: bounds the memory."""

Statistic = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval.

    Attributes:
        count: cases that the figure was measured on.
        low: lower end, in the figure's unit; None where there are too few cases.
        high: upper end.
        method: ``bootstrap`` or ``wilson``.
    """

    count: int
    low: float | None
    high: float | None
    method: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"low": self.low, "high": self.high, "count": self.count, "method": self.method}


def bootstrap_interval(statistic: Statistic, *samples: ArrayLike, seed: int = SEED) -> Interval:
    """Percentile bootstrap over cases.

    Args:
        statistic: takes one array ``(..., cases)`` for each of ``samples`` and gives one figure ``(...)`` for each row;
            a row for which it is not defined is NaN, and left out.
        *samples: one value for each case ``(cases,)``; all are resampled together.
        seed: the same seed draws the same cases.

    Returns:
        The interval; without ends for fewer than `FEWEST_CASES` cases, or where the figure is not defined for half of
        the resamples or more.
    """
    arrays = [np.asarray(one, dtype=np.float64) for one in samples]
    count = len(arrays[0])
    if count < FEWEST_CASES:
        return Interval(count, None, None, "bootstrap")
    rng = np.random.default_rng(seed)
    figures: list[np.ndarray] = []
    drawn, batch = 0, max(1, _MOST_DRAWN // count)
    while drawn < RESAMPLES:
        cases = rng.integers(count, size=(min(batch, RESAMPLES - drawn), count))
        figures.append(statistic(*(array[cases] for array in arrays)))
        drawn += len(cases)
    found = np.concatenate(figures)
    defined = found[np.isfinite(found)]
    if 2 * len(defined) <= RESAMPLES:
        return Interval(count, None, None, "bootstrap")
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(count, float(low), float(high), "bootstrap")


def mean_interval(values: ArrayLike) -> Interval:
    """Of the mean of one value for each case."""
    return bootstrap_interval(mean, values)


def median_interval(values: ArrayLike) -> Interval:
    """Of the median of one value for each case."""
    return bootstrap_interval(median, values)


def ratio_interval(numerators: ArrayLike, denominators: ArrayLike) -> Interval:
    """Of a mean over parts of cases, of which cases have different numbers: sum of sums over sum of counts."""
    return bootstrap_interval(ratio, numerators, denominators)


def ratio_of_means_interval(numerators: ArrayLike, denominators: ArrayLike) -> Interval:
    """Of the mean of one set of cases, in units of the mean of another; each set is resampled by itself.

    The count is that of the smaller set; without ends where that is too small.
    """
    one, other = (np.asarray(values, dtype=np.float64) for values in (numerators, denominators))
    fewest = min(len(one), len(other))
    if fewest < FEWEST_CASES:
        return Interval(fewest, None, None, "bootstrap")
    rng = np.random.default_rng(SEED + 1)

    def ratios(drawn: np.ndarray) -> np.ndarray:
        means = other[rng.integers(len(other), size=(len(drawn), len(other)))].mean(-1)
        return np.asarray(np.where(means != 0, drawn.mean(-1) / np.where(means != 0, means, 1), np.nan))

    return replace(bootstrap_interval(ratios, one), count=fewest)


def share_interval(hits: int, count: int) -> Interval:
    """Wilson's score interval of a share of cases, ``hits`` of ``count``."""
    from scipy.stats import binomtest

    if count == 0:
        return Interval(0, None, None, "wilson")
    found = binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(count, float(found.low), float(found.high), "wilson")


def couples_interval(count: int, couples: Sequence[tuple[int, int]], values: Sequence[float]) -> Interval:
    """Of the mean of a measure of two cases, over couples of different cases; cases are resampled, not couples.

    Args:
        count: cases.
        couples: indices of the two cases of each couple.
        values: the measure of each couple.
    """
    one, other = np.array(couples, dtype=np.int64).reshape(-1, 2).T
    measured = np.asarray(values, dtype=np.float64)

    def mean_of_couples(cases: np.ndarray) -> np.ndarray:
        drawn = np.stack([np.bincount(row, minlength=count) for row in cases.astype(np.int64)])
        weights = (drawn[:, one] * drawn[:, other]).astype(np.float64)
        return ratio(weights * measured, weights)

    return bootstrap_interval(mean_of_couples, np.arange(count))


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis."""
    return np.asarray(values.mean(-1))


def median(values: np.ndarray) -> np.ndarray:
    """Median over the last axis."""
    return np.asarray(np.median(values, axis=-1))


def ratio(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Ratio of sums over the last axis; NaN over nothing."""
    totals = denominators.sum(-1)
    return np.asarray(np.where(totals > 0, numerators.sum(-1) / np.where(totals > 0, totals, 1), np.nan))
