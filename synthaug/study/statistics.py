"""Figures of the arms of a study, and paired tests between them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthaug.errors import SynthAugError
from synthaug.study.tested_case import TestedCase

LEAST_CASES = 6
"""With fewer, the smallest two-sided p of the signed-rank test, 2 / 2^n, is above 0.05."""

METRICS = {"dice": "Dice", "volume_error_ml": "absolute volume error"}


@dataclass(frozen=True)
class SizeBin:
    """Test cases whose structure has a volume within limits.

    Attributes:
        name: for tables.
        low_ml: included.
        high_ml: not included.
    """

    name: str
    low_ml: float
    high_ml: float

    def holds(self, case: TestedCase) -> bool:
        """Whether a case is of this size."""
        return self.low_ml <= case.volume_ml < self.high_ml


EVERY_SIZE = SizeBin("all", 0.0, np.inf)


def size_bins(volumes_ml: Sequence[float], edges_ml: Sequence[float] = ()) -> list[SizeBin]:
    """All sizes, and the bins between edges.

    Args:
        volumes_ml: of the test cases.
        edges_ml: increasing; empty: terciles, where there are three cases of different size at least.
    """
    inner = list(edges_ml)
    if not inner and len(set(volumes_ml)) >= 3:
        terciles = {float(one) for one in np.quantile(volumes_ml, (1 / 3, 2 / 3))}
        inner = sorted(one for one in terciles if one > min(volumes_ml))  # below the least there is no case
    if not inner:
        return [EVERY_SIZE]
    limits = [0.0, *inner, np.inf]
    texts = _distinct(inner)
    words = [f"below {texts[0]}", *(f"{low} to {high}" for low, high in itertools.pairwise(texts)), f"from {texts[-1]}"]
    bounds = itertools.pairwise(limits)
    return [EVERY_SIZE, *(SizeBin(f"{one} mL", low, high) for one, (low, high) in zip(words, bounds, strict=True))]


def _distinct(edges: Sequence[float]) -> list[str]:
    """Edges with as many decimals as tell them from each other and from 0; none where all are whole numbers."""
    for digits in range(0 if all(one == round(one) for one in edges) else 1, 17):
        texts = [f"{one:.{digits}f}" for one in edges]
        if len(set(texts)) == len(texts) and all(float(text) > 0 for text in texts):
            return texts
    return [repr(one) for one in edges]


def arm_figures(by_seed: Mapping[int, Sequence[TestedCase]], within: SizeBin) -> dict[str, Any]:
    """Figures of an arm over test cases and seeds.

    Args:
        by_seed: tested cases of each seed.
        within: the cases that count.

    Returns:
        ``cases`` and ``seeds``, their numbers; ``dice``, mean over structures and cases; ``dice_by_structure``;
        ``mae_ml``, mean absolute error of the volume, with ``mae_sd_over_seeds_ml``; ``sd_ml``, standard deviation of
        the error; ``bias_ml``, its mean; all None without a case.
    """
    kept = {seed: [one for one in cases if within.holds(one)] for seed, cases in by_seed.items()}
    every = [one for cases in kept.values() for one in cases]
    errors = np.array([one.error_ml for one in every])
    by_structure: dict[str, list[float]] = {}
    for one in every:
        for name, value in one.dice.items():
            if value is not None:
                by_structure.setdefault(name, []).append(value)
    maes = [float(np.mean([abs(one.error_ml) for one in cases])) for cases in kept.values() if cases]
    return {
        "cases": len({one.identifier for one in every}),
        "seeds": len(kept),
        "dice": _mean([one.mean_dice for one in every if one.mean_dice is not None]),
        "dice_by_structure": {name: _mean(values) for name, values in by_structure.items()},
        "mae_ml": _mean(np.abs(errors)),
        "mae_sd_over_seeds_ml": float(np.std(maes, ddof=1)) if len(maes) > 1 else None,
        "sd_ml": float(errors.std(ddof=1)) if len(errors) > 1 else None,
        "bias_ml": _mean(errors),
    }


@dataclass(frozen=True)
class Comparison:
    """A paired test of an arm against its baseline.

    Attributes:
        metric: key of `METRICS`.
        cases: pairs of values.
        different: of these, pairs whose values differ; the others tell the test nothing, which drops them.
        difference: mean over the cases, of the arm less the baseline; None without a common case and seed.
        p: two-sided, of Wilcoxon's signed-rank test; None with fewer pairs that differ than `LEAST_CASES`.
        adjusted_p: after Holm, over all comparisons of the metric.
    """

    metric: str
    cases: int
    different: int
    difference: float | None
    p: float | None
    adjusted_p: float | None = None


def compare(
    arm: Mapping[int, Sequence[TestedCase]], baseline: Mapping[int, Sequence[TestedCase]], metric: str
) -> Comparison:
    """Compare two arms over the seeds and cases that both have; each case counts once, with its mean over the seeds."""
    seeds = sorted(set(arm) & set(baseline))
    ours, theirs = (_means_by_case(one, seeds, metric) for one in (arm, baseline))
    common = sorted(set(ours) & set(theirs))
    differences = np.array([ours[name] - theirs[name] for name in common])
    different = int(np.count_nonzero(differences))
    p = signed_rank_p(differences) if different >= LEAST_CASES else None
    return Comparison(metric, len(common), different, _mean(differences), p)


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of paired differences, 1 where all are 0.

    Differences of 0 are dropped, as Wilcoxon did.

    Raises:
        SynthAugError: a difference is NaN or infinite.
    """
    from scipy.stats import wilcoxon

    if not np.isfinite(differences).all():
        raise SynthAugError(
            f"differences {differences.tolist()} hold NaN or infinity; leave such cases out of the test"
        )
    if not np.any(differences):
        return 1.0
    return float(wilcoxon(differences).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Adjusted p values (Holm 1979), in the order of the values."""
    order = np.argsort(values, kind="stable")
    adjusted = [0.0] * len(values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted


def _means_by_case(by_seed: Mapping[int, Sequence[TestedCase]], seeds: Sequence[int], metric: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for seed in seeds:
        for case in by_seed[seed]:
            value = case.mean_dice if metric == "dice" else abs(case.error_ml)
            if value is not None:
                values.setdefault(case.identifier, []).append(value)
    return {name: float(np.mean(found)) for name, found in values.items()}


def _mean(values: Sequence[float] | np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
