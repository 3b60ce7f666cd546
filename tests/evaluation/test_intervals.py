"""Intervals are those of the textbooks: binomial percentiles, Wilson's formula, resamples drawn one by one."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from synthaug.anatomy import StructureMeasures
from synthaug.evaluation import intervals
from synthaug.evaluation.anatomy import Anatomy
from synthaug.evaluation.anatomy_report import AnatomyReport
from synthaug.evaluation.control import ControlPoint, ControlReport
from synthaug.evaluation.intervals import (
    FEWEST_CASES,
    RESAMPLES,
    bootstrap_interval,
    couples_interval,
    mean_interval,
    median_interval,
    ratio_interval,
    ratio_of_means_interval,
    share_interval,
)
from synthaug.evaluation.round_trip import RoundTrip, summarise
from synthaug.evaluation.volume_table import VolumeTable
from synthaug.labels import LabelScheme


def resamples(count: int) -> np.ndarray:
    """Indices of the cases of each resample, as the interval's own generator draws them."""
    return np.random.default_rng(intervals.SEED).integers(count, size=(RESAMPLES, count))


def test_the_mean_of_four_ones_and_six_zeros_has_the_percentiles_of_the_binomial_distribution() -> None:
    # a resample holds B(10, 0.4) ones: P(B <= 0) = 0.6 %, P(B <= 1) = 4.6 %; P(B <= 6) = 94.5 %, P(B <= 7) = 98.8 %
    interval = mean_interval([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.7))
    assert (interval.count, interval.method) == (10, "bootstrap")


def test_equal_values_have_an_interval_without_width() -> None:
    for interval in (mean_interval([3.5] * 9), median_interval([3.5] * 9), ratio_interval([7.0] * 9, [2.0] * 9)):
        assert interval.low == interval.high == 3.5


def test_a_ratio_weighs_cases_by_their_parts() -> None:
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 9, 12).astype(float)
    sums = counts * rng.normal(2, 1, 12)
    drawn = resamples(12)
    expected = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5])
    interval = ratio_interval(sums, counts)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))
    assert interval.low < sums.sum() / counts.sum() < interval.high


def test_shares_have_wilsons_interval_even_at_nothing_and_everything() -> None:
    squared = 1.959964**2  # of the normal distribution's 97.5th percentile
    none, every = share_interval(0, 16), share_interval(16, 16)
    assert (none.low, none.high) == pytest.approx((0, squared / (16 + squared)))
    assert (every.low, every.high) == pytest.approx((16 / (16 + squared), 1))
    some = share_interval(8, 10)
    assert (some.low, some.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert share_interval(0, 0).low is None


def test_too_few_cases_have_no_ends() -> None:
    few = mean_interval(range(FEWEST_CASES - 1))
    assert few.to_dict() == {"low": None, "high": None, "count": FEWEST_CASES - 1, "method": "bootstrap"}
    assert mean_interval(range(FEWEST_CASES)).low is not None
    assert mean_interval([]).count == 0


def test_a_figure_that_most_resamples_do_not_have_has_no_interval() -> None:
    def undefined_without_the_first(values: np.ndarray) -> np.ndarray:
        return np.where((values == 0).any(-1), values.mean(-1), np.nan)

    assert bootstrap_interval(undefined_without_the_first, np.arange(40)).low is not None  # 64 % of resamples
    assert bootstrap_interval(lambda values: np.full(len(values), np.nan), np.arange(40)).low is None


def test_the_seed_decides_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=31)
    whole = mean_interval(values)
    assert bootstrap_interval(intervals.mean, values, seed=1) != whole == mean_interval(values)
    monkeypatch.setattr(intervals, "_MOST_DRAWN", 100)
    assert mean_interval(values) == whole


def test_couples_are_resampled_by_their_cases() -> None:
    rng = np.random.default_rng(2)
    couples = list(itertools.combinations(range(9), 2))
    values = rng.normal(size=len(couples))
    by_couple = dict(zip(couples, values, strict=True))
    means = []
    for row in resamples(9):
        pairs = [tuple(sorted(pair)) for pair in itertools.combinations(row.tolist(), 2) if pair[0] != pair[1]]
        means.append(np.mean([by_couple[pair] for pair in pairs]))
    interval = couples_interval(9, couples, values.tolist())
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def control(count: int) -> ControlReport:
    rng = np.random.default_rng(3)
    requested = rng.uniform(8, 120, count)
    realised = 0.9 * requested + 3 + rng.normal(0, 4, count)
    return ControlReport(
        "ventricles",
        tuple(
            ControlPoint(str(i), float(x), float(y)) for i, (x, y) in enumerate(zip(requested, realised, strict=True))
        ),
    )


def test_control_figures_have_the_intervals_of_resampled_fits() -> None:
    report = control(12)
    x, y = (np.array([getattr(one, name) for one in report.points]) for name in ("requested_ml", "realised_ml"))
    lines = np.array([np.polyfit(x[row], y[row], 1) for row in resamples(12)])
    facts = report.to_dict()
    for key, column in (("slope", 0), ("intercept_ml", 1)):
        found = facts["intervals_95"][key]
        assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(lines[:, column], [2.5, 97.5])))
        assert found["low"] < facts[key] < found["high"]
    squared = [np.corrcoef(x[row], y[row])[0, 1] ** 2 for row in resamples(12)]
    assert facts["intervals_95"]["r_squared"]["low"] == pytest.approx(np.percentile(squared, 2.5))
    for key in ("slope_through_origin", "r_squared_identity", "mae_ml", "mae_percent", "bias_ml", "bias_percent"):
        found = facts["intervals_95"][key]
        assert found["low"] < facts[key] < found["high"], key
    assert facts["intervals_95"]["rejected_share"] == share_interval(0, 12).to_dict()
    assert "largest_error_percent" not in facts["intervals_95"]
    json.dumps(facts, allow_nan=False)


def test_one_target_for_all_pairs_has_an_error_and_no_slope() -> None:
    points = tuple(ControlPoint(str(i), 33.3, 33.3 + 0.1 * i) for i in range(11))
    facts = ControlReport("ventricles", points).to_dict()
    assert facts["slope"] is None
    assert facts["intervals_95"]["slope"]["low"] is None
    assert facts["intervals_95"]["mae_ml"]["low"] < 0.5 < facts["intervals_95"]["mae_ml"]["high"]


def test_volumes_anatomy_and_round_trips_have_intervals_beside_their_figures() -> None:
    volumes = [{"a": float(index)} for index in range(10)]
    row = VolumeTable(volumes, volumes[:3]).to_dict()["a"]
    assert row["intervals_95"]["generated_mean_ml"] == mean_interval(range(10)).to_dict()
    assert row["intervals_95"]["real_mean_ml"]["low"] is None

    scheme = LabelScheme.load("ventricles-t1")
    names = dict.fromkeys((*scheme.names, *scheme.groups), 10.0)
    brains = [
        Anatomy(str(index), StructureMeasures(names, ("thalamus",) if index < 2 else (), {}), {}, 0)
        for index in range(10)
    ]
    shares = AnatomyReport(scheme, tuple(brains)).to_dict()["intervals_95"]["shares"]
    assert shares["every_structure_present"] == share_interval(8, 10).to_dict()

    dice = [0.9 + 0.01 * index for index in range(9)]
    trips = [
        RoundTrip(f"map_{index}", True, dict.fromkeys((*scheme.names, *scheme.groups), value), names, names)
        for index, value in enumerate(dice)
    ]
    nowhere = {**trips[8].dice, "thalamus": float("nan")}
    report = summarise(scheme, [*trips, RoundTrip("without", True, nowhere, names, names)])
    facts = report.to_dict()
    interval = facts["intervals_95"]["mean_dice"]
    assert interval["count"] == 10
    assert interval["low"] < facts["mean_dice"] < interval["high"]
    assert facts["by_structure"]["thalamus"]["intervals_95"]["dice"] == mean_interval(dice).to_dict()
    assert report.worst(2) == ["map_0", "map_1"]


def test_the_ratio_of_two_sets_has_the_spread_of_both() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(8, 1, 60), rng.normal(10, 2, 40)
    interval = ratio_of_means_interval(one, other)
    ratio = one.mean() / other.mean()
    # first order: relative variances of both means add (Fieller's interval is near it)
    error = ratio * np.sqrt(one.var() / one.mean() ** 2 / 60 + other.var() / other.mean() ** 2 / 40)
    assert interval.low == pytest.approx(ratio - 1.96 * error, abs=0.01)
    assert interval.high == pytest.approx(ratio + 1.96 * error, abs=0.01)
    assert interval.count == 40


def test_the_ratio_of_few_cases_or_to_nothing_has_no_interval() -> None:
    many, few = np.ones(20), np.ones(FEWEST_CASES - 1)
    assert ratio_of_means_interval(many, few).low is None
    assert ratio_of_means_interval(few, many).count == FEWEST_CASES - 1
    assert ratio_of_means_interval(many, 0 * many).low is None
