"""How far a set of samples is from real cases by one extractor's features, beside how far real cases are apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthaug.evaluation.extractors import frechet_distance
from synthaug.evaluation.feature_sets import KernelDistance, precision_and_recall
from synthaug.evaluation.intervals import Interval

SPLITS = 10
"""Random halves of the real cases."""

Vectors = Sequence[np.ndarray]


@dataclass(frozen=True)
class SplitFigure:
    """A figure over random halves of the real cases.

    Attributes:
        samples: of samples and one half, for each split; empty where a set is too small in one of them.
        real: of cases of the other half in the samples' place.
    """

    samples: list[float] = field(default_factory=list)
    real: list[float] = field(default_factory=list)

    def means(self) -> dict[str, float | None]:
        """Mean over the splits, JSON-ready."""
        return {key: float(np.mean(found)) if found else None for key, found in vars(self).items()}

    def ranges(self) -> dict[str, list[float] | None]:
        """Least and largest, JSON-ready."""
        return {key: [min(found), max(found)] if found else None for key, found in vars(self).items()}


@dataclass(frozen=True)
class FeatureFigures:
    """Figures of one extractor.

    Attributes:
        counts: vectors of ``samples`` and ``real`` images, and their ``dimensions``.
        frechet: Fréchet distance.
        kernel: kernel distance of all samples and all real cases, or None for too few.
        kernel_interval: of it.
        kernel_real: between the halves of each split of the real cases; its mean is 0 but for chance.
        precision: share of the samples' vectors among those of one half.
        recall: share of that half's vectors among those of the samples.
    """

    counts: dict[str, int]
    frechet: SplitFigure
    kernel: float | None
    kernel_interval: Interval
    kernel_real: list[float]
    precision: SplitFigure
    recall: SplitFigure

    @classmethod
    def of(cls, samples: Vectors, real: Vectors) -> FeatureFigures:
        """Compare samples with real cases: ``(n, D)`` vectors of each image.

        Vectors are brought to mean 0 and deviation 1 over the real cases: figures of several extractors have one unit
        then. Images without a vector are left out.
        """
        joined = np.concatenate(real)
        samples, real = ([one for one in cases if len(one)] for cases in (samples, real))
        shift, scale = (joined.mean(0), joined.std(0) + 1e-6) if len(joined) else (0.0, 1.0)
        samples, real = ([(one - shift) / scale for one in cases] for cases in (samples, real))
        kernel = KernelDistance(samples, real)
        (frechet,) = _over_splits(samples, real, _frechet_if_enough, 1)
        precision, recall = _over_splits(samples, real, precision_and_recall, 2)
        counts = {"samples": sum(len(one) for one in samples), "real": len(joined), "dimensions": joined.shape[1]}
        return cls(counts, frechet, kernel.value, kernel.interval, _kernel_of_splits(real), precision, recall)


def feature_facts(figures: Mapping[str, FeatureFigures]) -> dict[str, Any]:
    """Figures by kind, then by extractor, JSON-ready; without the kernel distance's interval."""
    facts: dict[str, Any] = {
        "vectors": {name: one.counts for name, one in figures.items()},
        "kernel_distance": {
            name: {
                "samples": one.kernel,
                "real": float(np.mean(one.kernel_real)) if one.kernel_real else None,
            }
            for name, one in figures.items()
        },
        "kernel_distance_over_splits": {
            name: {"real": [min(one.kernel_real), max(one.kernel_real)] if one.kernel_real else None}
            for name, one in figures.items()
        },
    }
    for key, attribute in (("frechet_distance", "frechet"), ("precision", "precision"), ("recall", "recall")):
        found = {name: getattr(one, attribute) for name, one in figures.items()}
        facts[key] = {name: one.means() for name, one in found.items()}
        facts[f"{key}_over_splits"] = {name: one.ranges() for name, one in found.items()}
    return facts


Figures = tuple[float, ...] | None


def _over_splits(
    samples: Vectors, real: Vectors, figure: Callable[[Vectors, Vectors], Figures], number: int
) -> list[SplitFigure]:
    """From one random half of the real cases to samples, and to real cases of the other half, as many of each.

    Small sets are far from each other whatever they hold: only sets of one size can be compared. For the same reason
    there is no bootstrap interval of most figures: a resample holds fewer different cases, and is farther away. What
    there is instead is one figure for each of some random halves, or none at all where one half is too small.
    """
    rng = np.random.default_rng(0)
    count = min(len(real) // 2, len(samples))
    found: dict[str, list[tuple[float, ...]]] = {"samples": [], "real": []}
    for _ in range(SPLITS if count else 0):
        order = rng.permutation(len(real))
        half = len(order) // 2
        reference = [real[index] for index in order[:half]]
        others = [real[index] for index in order[half : half + count]]
        drawn = [samples[index] for index in rng.choice(len(samples), count, replace=False)]
        for name, cases in (("samples", drawn), ("real", others)):
            values = figure(cases, reference)
            if values is not None:
                found[name].append(values)
    return [
        SplitFigure(
            **{name: [one[place] for one in values] if len(values) == SPLITS else [] for name, values in found.items()}
        )
        for place in range(number)
    ]


def _frechet_if_enough(one: Vectors, other: Vectors) -> Figures:
    """Fréchet distance; None where a set has no more vectors than they have dimensions, and no covariance."""
    first, second = np.concatenate(one), np.concatenate(other)
    if min(len(first), len(second)) <= first.shape[1]:
        return None
    return (frechet_distance(first, second),)


def _kernel_of_splits(real: Vectors) -> list[float]:
    rng, whole = np.random.default_rng(0), KernelDistance(real, real)
    orders = [rng.permutation(len(real)).tolist() for _ in range(SPLITS)]
    found = [whole.of_parts(order[: len(real) // 2], order[len(real) // 2 :]) for order in orders]
    return [one for one in found if one is not None]
