"""Kernel distance, precision and recall of sets of images, from their feature vectors.

An image has one or several vectors (slices, blocks). Those of one image are alike, so that an image, not a vector, is
what a set consists of: wherever the published estimators leave a vector out of what it is compared with, all vectors
of its image are left out here. With one vector for each image, the figures are the published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthaug.evaluation.intervals import FEWEST_CASES, SEED, Interval, bootstrap_interval

DEGREE = 3
NEIGHBOURS = 3
"""k of the k-nearest-neighbour radii, as in the paper."""

VECTORS_OF_CASE = 32
"""At most so many vectors of an image are compared, drawn at random: the time grows with their square."""

LEAST_CASES = 2
"""Fewer have no couple of different images."""

Vectors = Sequence[np.ndarray]
"""``(n, D)`` for each image."""


def thinned(cases: Vectors) -> list[np.ndarray]:
    """At most `VECTORS_OF_CASE` vectors of each image, always the same ones."""
    rng = np.random.default_rng(0)
    return [
        one if len(one) <= VECTORS_OF_CASE else one[np.sort(rng.choice(len(one), VECTORS_OF_CASE, replace=False))]
        for one in cases
    ]


def mean_kernels(one: Vectors, other: Vectors) -> np.ndarray:
    """``(n, m)``: for each couple of images, mean of the kernel ``(x . y / D + 1)^3`` over their vectors."""
    joined = np.concatenate(other).astype(np.float64)
    ends = np.cumsum([len(vectors) for vectors in other])
    starts = ends - [len(vectors) for vectors in other]
    counts = ends - starts
    rows = []
    for vectors in one:
        kernel = (vectors.astype(np.float64) @ joined.T / joined.shape[1] + 1) ** DEGREE
        rows.append(np.add.reduceat(kernel.mean(0), starts) / counts)
    return np.stack(rows)


def kernel_distance(one: Vectors, other: Vectors) -> float | None:
    """Kernel distance of two sets; see `KernelDistance`."""
    return KernelDistance(one, other).value


class KernelDistance:
    """Squared maximum mean discrepancy with a polynomial kernel, as in the kernel inception distance.

    Bińkowski et al. 2018 (arXiv 1801.01401), section 3, with the unbiased estimator of Gretton et al. 2012 (lemma 6):
    its expectation is 0 for two sets from one distribution, however few images they have, and it may be below 0.

    Args:
        one: ``(n, D)`` vectors of each image.
        other: of the images to compare with.
    """

    def __init__(self, one: Vectors, other: Vectors) -> None:
        self._counts = len(one), len(other)
        self._enough = min(self._counts) >= LEAST_CASES
        if self._enough:
            one, other = thinned(one), thinned(other)
            self._one, self._other = mean_kernels(one, one), mean_kernels(other, other)
            self._between = mean_kernels(one, other)

    @property
    def value(self) -> float | None:
        """The distance, or None for a set of fewer than `LEAST_CASES` images."""
        if not self._enough:
            return None
        every = [np.ones((1, count)) for count in self._counts]
        return float(self._resampled(every[0], every[1])[0])

    def of_parts(self, one: Sequence[int], other: Sequence[int]) -> float | None:
        """The distance between some images of the first set and some of the second, by their places."""
        if min(len(one), len(other)) < LEAST_CASES:
            return None
        drawn = [np.zeros((1, count)) for count in self._counts]
        for weights, places in zip(drawn, (one, other), strict=True):
            weights[0, list(places)] = 1
        return float(self._resampled(drawn[0], drawn[1])[0])

    @property
    def interval(self) -> Interval:
        """The images of both sets are resampled, each set by itself.

        An image that is drawn twice is not compared with its own copy, which would raise the distance whatever the
        images are like. Near distance 0 the interval is too wide rather than too narrow (Arcones and Giné 1992).
        """
        fewest, (first, second) = min(self._counts), self._counts
        if fewest < FEWEST_CASES:
            return Interval(fewest, None, None, "bootstrap")
        rng = np.random.default_rng(SEED + 1)

        def distances(cases: np.ndarray) -> np.ndarray:
            drawn = np.stack([np.bincount(row, minlength=first) for row in cases.astype(np.int64)])
            return self._resampled(drawn, rng.multinomial(second, np.full(second, 1 / second), len(cases)))

        return replace(bootstrap_interval(distances, np.arange(first)), count=fewest)

    def _resampled(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """One distance for each row of how often the images are drawn, ``(rows, n)`` and ``(rows, m)``.

        NaN where all draws of a set are of one image.
        """
        one, other = one.astype(np.float64), other.astype(np.float64)
        between = (one @ self._between * other).sum(1) / (one.sum(1) * other.sum(1))
        return _of_couples(self._one, one) + _of_couples(self._other, other) - 2 * between


def _of_couples(kernel: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over couples of different images, ``(rows,)``."""
    apart = kernel - np.diag(np.diag(kernel))
    couples = weights.sum(1) ** 2 - (weights**2).sum(1)
    total = (weights @ apart * weights).sum(1)
    return np.asarray(np.where(couples > 0, total / np.where(couples > 0, couples, 1), np.nan))


def precision_and_recall(samples: Vectors, real: Vectors, neighbours: int = NEIGHBOURS) -> tuple[float, float] | None:
    """Share of sample vectors among the real ones, and of real vectors among those of the samples.

    Kynkäänniemi et al. 2019 (arXiv 1904.06991), equations 1 and 2: a vector is among a set if it lies within the
    distance from one of the set's vectors to that vector's k-th neighbour in the set.

    Args:
        samples: ``(n, D)`` vectors of each image.
        real: of the real images; figures of sets of other sizes cannot be compared.
        neighbours: k.

    Returns:
        Precision and recall, or None where a set has no k vectors of other images.
    """
    samples, real = thinned(samples), thinned(real)
    radii = [_radii(one, neighbours) for one in (samples, real)]
    if radii[0] is None or radii[1] is None:
        return None
    distances = _squared_distances(np.concatenate(samples), np.concatenate(real))
    return float((distances <= radii[1][None]).any(1).mean()), float((distances <= radii[0][:, None]).any(0).mean())


def _radii(cases: Vectors, neighbours: int) -> np.ndarray | None:
    """Squared distance of each vector to its k-th neighbour among the vectors of other images."""
    if not cases:
        return None
    lengths = np.array([len(one) for one in cases])
    if (lengths.sum() - lengths).min() < neighbours:
        return None
    vectors, image = np.concatenate(cases), np.repeat(np.arange(len(cases)), lengths)
    distances = _squared_distances(vectors, vectors)
    distances[image[:, None] == image[None]] = np.inf
    return np.asarray(np.partition(distances, neighbours - 1, axis=1)[:, neighbours - 1])


def _squared_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances ``(n, m)``, by one matrix product."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    return np.asarray(np.square(one).sum(1)[:, None] + np.square(other).sum(1) - 2 * one @ other.T)
