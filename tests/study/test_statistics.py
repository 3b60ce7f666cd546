"""Figures and tests, against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synthaug.errors import SynthAugError
from synthaug.study.statistics import EVERY_SIZE, SizeBin, arm_figures, compare, holm, signed_rank_p, size_bins
from synthaug.study.tested_case import TestedCase


def case(name: str, real_ml: float, found_ml: float, dice: float | None = 0.5) -> TestedCase:
    return TestedCase(name, {"a": dice}, real_ml, found_ml)


def test_figures_of_an_arm_by_hand() -> None:
    by_seed = {0: [case("x", 10, 12, 0.8), case("y", 30, 24, 0.6)], 1: [case("x", 10, 9, 0.7), case("y", 30, 27, 0.9)]}
    found = arm_figures(by_seed, EVERY_SIZE)  # errors 2, -6, -1, -3
    assert (found["cases"], found["seeds"]) == (2, 2)
    assert found["dice"] == pytest.approx(0.75)
    assert found["mae_ml"] == pytest.approx(3.0)
    assert found["bias_ml"] == pytest.approx(-2.0)
    assert found["sd_ml"] == pytest.approx(math.sqrt((16 + 16 + 1 + 1) / 3))
    assert found["mae_sd_over_seeds_ml"] == pytest.approx(math.sqrt(2))  # of 4 and 2


def test_a_structure_that_a_case_lacks_does_not_count() -> None:
    tested = TestedCase("x", {"a": 0.5, "b": None}, 10, 10)
    assert tested.mean_dice == 0.5
    assert arm_figures({0: [tested]}, EVERY_SIZE)["dice_by_structure"] == {"a": 0.5}


def test_a_size_without_cases_has_no_figures() -> None:
    found = arm_figures({0: [case("x", 10, 12)]}, SizeBin("large", 50, math.inf))
    assert found["cases"] == 0
    assert found["mae_ml"] is found["dice"] is found["sd_ml"] is None


def test_bins_hold_every_case_once() -> None:
    volumes = [5.0, 10.0, 20.0, 30.0, 50.0, 90.0]
    everything, *bins = size_bins(volumes)
    cases = [case(str(volume), volume, 0) for volume in volumes]
    assert all(everything.holds(one) for one in cases)
    assert [[one.volume_ml for one in cases if size.holds(one)] for size in bins] == [[5, 10], [20, 30], [50, 90]]
    assert [size.name for size in size_bins(volumes, [25.0])[1:]] == ["below 25 mL", "from 25 mL"]
    assert size_bins([10.0, 10.0]) == [everything]
    assert [size.name for size in size_bins([5.0, 5.0, 5.0, 9.0, 10.0])[1:]] == ["below 7.7 mL", "from 7.7 mL"]


def test_signed_rank_p_by_hand() -> None:
    # ranks 1 to 6, that of -2 is 2: W = 2, and of the 64 signs of six ranks {}, {1}, {2} have a sum up to 2
    assert signed_rank_p(np.array([1.0, -2.0, 3.0, 4.0, 5.0, 6.0])) == pytest.approx(2 * 3 / 64)
    assert signed_rank_p(np.arange(1.0, 7.0)) == pytest.approx(2 / 64)
    assert signed_rank_p(np.zeros(6)) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_cases_are_averaged_over_the_seeds_that_both_arms_have() -> None:
    arm = {0: [case("x", 10, 14)], 1: [case("x", 10, 12)], 2: [case("x", 10, 90)]}
    baseline = {0: [case("x", 10, 20)], 1: [case("x", 10, 20)]}
    found = compare(arm, baseline, "volume_error_ml")
    assert (found.cases, found.difference, found.p) == (1, pytest.approx(3 - 10), None)


@pytest.mark.parametrize(("number", "is_tested"), [(5, False), (6, True)])
def test_too_few_cases_give_no_p(number: int, is_tested: bool) -> None:
    arm = {0: [case(str(i), 10, 11 + i) for i in range(number)]}
    baseline = {0: [case(str(i), 10, 30 + i) for i in range(number)]}
    found = compare(arm, baseline, "volume_error_ml")
    assert (found.p is not None) is is_tested
    assert compare(arm, arm, "dice").difference == 0


@pytest.mark.parametrize(
    ("edges", "names"),
    [
        ([1200.1, 1200.4, 1200.7], ["below 1200.1", "1200.1 to 1200.4", "1200.4 to 1200.7", "from 1200.7"]),
        ([0.004, 0.5], ["below 0.004", "0.004 to 0.500", "from 0.500"]),
        ([1200.0, 1201.0], ["below 1200", "1200 to 1201", "from 1201"]),
    ],
)
def test_sizes_have_names_of_their_own(edges: list[float], names: list[str]) -> None:
    assert [size.name for size in size_bins([1.0], edges)[1:]] == [f"{name} mL" for name in names]


def test_cases_with_equal_values_are_not_tested_on() -> None:
    arm = {0: [case(str(i), 10, 11 + i) for i in range(8)]}
    baseline = {0: [case(str(i), 10, 11 + i if i < 3 else 30 + i) for i in range(8)]}
    found = compare(arm, baseline, "volume_error_ml")
    assert (found.cases, found.different, found.p) == (8, 5, None)


def test_a_difference_that_is_no_number_is_refused() -> None:
    with pytest.raises(SynthAugError, match="hold NaN"):
        signed_rank_p(np.array([1.0, np.nan, 2.0, 3.0, 4.0, 5.0, 6.0]))


def test_values_are_paired_by_case_whatever_their_order() -> None:
    baseline = {0: [case(str(i), 10, 20 + 10 * i) for i in range(6)]}
    arm = {0: [case(str(i), 10, 20 + 10 * i - (i + 1)) for i in reversed(range(6))]}
    found = compare(arm, baseline, "volume_error_ml")
    assert (found.difference, found.p) == (pytest.approx(-3.5), pytest.approx(2 / 64))
