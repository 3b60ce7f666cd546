"""Kernel distance, precision and recall: computed by hand, and unmoved by what must not move them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.evaluation.feature_figures import FeatureFigures
from synthaug.evaluation.feature_sets import VECTORS_OF_CASE, KernelDistance, kernel_distance, precision_and_recall


def cases(*values: float) -> list[np.ndarray]:
    """Images with one vector of one dimension each."""
    return [np.array([[value]]) for value in values]


def test_the_kernel_distance_is_the_one_computed_by_hand() -> None:
    # k(x, y) = (x y + 1)^3; within {0, 1}: k(0, 1) = 1; within {1, 2}: k(1, 2) = 27;
    # between: k(0, 1) = 1, k(0, 2) = 1, k(1, 1) = 8, k(1, 2) = 27, mean 37 / 4
    assert kernel_distance(cases(0, 1), cases(1, 2)) == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_sets_of_two_sizes_are_compared_by_hand_too() -> None:
    # within {0, 1, 2}: (1 + 1 + 27) / 3; within {0, 3}: 1; between: 1, 1, 1, 64, 1, 343, mean 411 / 6
    assert kernel_distance(cases(0, 1, 2), cases(0, 3)) == pytest.approx(29 / 3 + 1 - 2 * 411 / 6)


def test_it_is_that_of_torchmetrics() -> None:
    import torch
    from torchmetrics.image.kid import poly_mmd

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(9, 5)), rng.normal(0.5, 1, size=(9, 5))
    expected = float(poly_mmd(torch.from_numpy(one), torch.from_numpy(other)))
    assert kernel_distance([row[None] for row in one], [row[None] for row in other]) == pytest.approx(expected)


def test_vectors_of_one_image_are_not_compared_with_each_other() -> None:
    # each image twice the same vector: were they independent images, couples of equal ones would count
    twice = [np.repeat(one, 2, axis=0) for one in cases(0, 1)]
    assert kernel_distance(twice, cases(1, 2)) == pytest.approx(kernel_distance(cases(0, 1), cases(1, 2)))


def test_sets_of_one_distribution_are_at_distance_0_on_average_and_others_are_not() -> None:
    rng = np.random.default_rng(0)

    def drawn(shift: float) -> list[np.ndarray]:
        return list(rng.normal(shift, 1, size=(6, 1, 4)))

    same = [kernel_distance(drawn(0), drawn(0)) for _ in range(400)]
    apart = [kernel_distance(drawn(0), drawn(1)) for _ in range(400)]
    error = np.std(same) / np.sqrt(len(same))  # type: ignore[arg-type]
    assert abs(np.mean(same)) < 4 * error  # type: ignore[arg-type]
    assert min(same) < 0  # type: ignore[type-var, operator]
    assert np.mean(apart) > 20 * error  # type: ignore[arg-type]


def test_its_interval_holds_the_value_and_excludes_0_for_sets_apart() -> None:
    rng = np.random.default_rng(0)
    near, far = (KernelDistance(*(list(rng.normal(shift, 1, size=(20, 1, 4))) for shift in (0, one))) for one in (0, 2))
    for one in (near, far):
        assert one.interval.low < one.value < one.interval.high  # type: ignore[operator]
        assert one.interval.count == 20
    assert near.interval.low < 0 < far.interval.low  # type: ignore[operator]


def test_the_fewest_images_of_either_set_decide_whether_there_is_an_interval() -> None:
    few, many = cases(*range(7)), cases(*range(20))
    for one, other in ((few, many), (many, few)):
        interval = KernelDistance(one, other).interval
        assert (interval.count, interval.low) == (7, None)
    assert kernel_distance(cases(1), many) is None


def test_precision_and_recall_are_the_ones_computed_by_hand() -> None:
    # k = 1; radii of the real 0, 1, 3: 1, 1, 2, so the real set covers -1 to 5;
    # radii of the samples 4, 4.5, 20: 0.5, 0.5, 15.5, so theirs covers 3.5 to 35.5
    found = precision_and_recall(cases(4, 4.5, 20), cases(0, 1, 3), neighbours=1)
    assert found == (pytest.approx(2 / 3), 0.0)


def test_identical_sets_have_all_precision_and_recall_and_disjoint_sets_none() -> None:
    real, far = cases(0, 1, 2, 3, 4), cases(100, 101, 102, 103, 104)
    assert precision_and_recall(real, real) == (1.0, 1.0)
    assert precision_and_recall(far, real) == (0.0, 0.0)
    narrow = cases(2, 2.01, 2.02, 2.03, 2.04)  # one mode of the real set only
    precision, recall = precision_and_recall(narrow, real)  # type: ignore[misc]
    assert precision == 1
    assert recall < 0.5


def test_the_radius_reaches_vectors_of_other_images() -> None:
    pairs = [np.array([[0.0], [0.1]]), np.array([[1.0], [1.1]])]  # neighbours within an image are 0.1 apart
    assert precision_and_recall(cases(1.8, 50), pairs, neighbours=1) == (0.5, 1.0)


def test_too_few_images_have_no_precision() -> None:
    assert precision_and_recall(cases(0, 1, 2), cases(0, 1, 2, 3)) is None  # three neighbours are needed
    assert precision_and_recall([], cases(0, 1, 2, 3)) is None


numbers = st.lists(st.floats(-3, 3, width=16), min_size=4, max_size=7)


@given(numbers, numbers, st.randoms(use_true_random=False))
def test_order_changes_nothing_and_the_kernel_distance_is_symmetric(one: list, other: list, random) -> None:
    shuffled = list(one)
    random.shuffle(shuffled)
    sets = cases(*one), cases(*other)
    assert kernel_distance(*sets) == pytest.approx(kernel_distance(*reversed(sets)), abs=1e-6)
    assert kernel_distance(*sets) == pytest.approx(kernel_distance(cases(*shuffled), sets[1]), abs=1e-6)
    assert precision_and_recall(*sets) == precision_and_recall(cases(*shuffled), sets[1])
    assert precision_and_recall(*sets) == precision_and_recall(*reversed(sets))[::-1]  # type: ignore[index]


@given(numbers, numbers, st.integers(-8, 8), st.sampled_from([0.5, 2.0, 4.0]))
def test_precision_and_recall_know_no_shift_and_no_unit(one: list, other: list, shift: int, unit: float) -> None:
    grid = [[round(value * 16) / 16 for value in values] for values in (one, other)]  # exact in floating point
    mine, theirs = (cases(*(unit * (value + shift) for value in values)) for values in grid)
    assert precision_and_recall(mine, theirs) == precision_and_recall(cases(*grid[0]), cases(*grid[1]))


def test_an_image_of_many_vectors_is_thinned_always_alike() -> None:
    rng = np.random.default_rng(0)
    large = [rng.normal(size=(5 * VECTORS_OF_CASE, 3)) for _ in range(4)]
    assert KernelDistance(large, large[:2]).value == KernelDistance(large, large[:2]).value
    assert precision_and_recall(large, large) == (1.0, 1.0)


def test_figures_do_not_depend_on_the_unit_of_the_features_and_leave_out_images_without_vectors() -> None:
    rng = np.random.default_rng(0)
    real, samples = (list(rng.normal(shift, 1, size=(9, 6, 2))) for shift in (0, 0.5))
    unit = np.array([3.0, 0.1])
    plain = FeatureFigures.of(samples, real)
    scaled = FeatureFigures.of([*(unit * one for one in samples), np.zeros((0, 2))], [unit * one for one in real])
    assert plain.counts == scaled.counts == {"samples": 54, "real": 54, "dimensions": 2}
    assert plain.kernel == pytest.approx(scaled.kernel, rel=1e-3)
    assert plain.precision == scaled.precision
    assert plain.frechet.samples == pytest.approx(scaled.frechet.samples, rel=1e-3)
    assert len(plain.kernel_real) == 10
    assert abs(np.mean(plain.kernel_real)) < plain.kernel  # type: ignore[operator]
