"""Draws by bin follow the schedule, whatever the cases' own distribution is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.schedules import parse_schedule
from synthaug.sources import VolumeIndex
from synthaug.sources.statistics import ks_distance

volumes = st.lists(st.floats(5.0, 150.0), min_size=1, max_size=200)


@settings(max_examples=60, deadline=None)
@given(volumes=volumes, text=st.sampled_from(["uniform:20:120", "log-uniform:8:120", "constant:40", "normal:40:10"]))
def test_chances_are_a_distribution_over_the_cases(volumes: list[float], text: str) -> None:
    names = [f"case{i}" for i in range(len(volumes))]
    index = VolumeIndex(names, volumes, max_bins=16)
    chances = index.case_chances(parse_schedule(text), 0.3)
    assert chances.shape == (len(volumes),)
    assert (chances >= 0).all()
    assert chances.sum() == pytest.approx(1.0)
    assert sorted(index.names) == sorted(names)


def test_cases_in_no_order_give_the_same_index_as_sorted_ones() -> None:
    rng = np.random.default_rng(0)
    volumes_ml = rng.uniform(5, 150, 50)
    names = [f"case{i:02d}" for i in range(50)]
    shuffled = rng.permutation(50)
    one = VolumeIndex(names, volumes_ml.tolist())
    two = VolumeIndex([names[i] for i in shuffled], volumes_ml[shuffled].tolist())
    assert one.names == two.names
    np.testing.assert_array_equal(one.edges_ml, two.edges_ml)


@pytest.mark.parametrize("schedule", ["uniform:20:120", "log-uniform:10:120", "normal:60:15"])
def test_weighted_cases_follow_a_schedule_unlike_their_own_distribution(schedule: str) -> None:
    rng = np.random.default_rng(1)
    own = np.exp(rng.uniform(np.log(5), np.log(150), 400))  # mostly small
    index = VolumeIndex([f"case{i}" for i in range(400)], own.tolist())
    wanted = parse_schedule(schedule)
    drawn = rng.choice(index.volumes_ml, 4000, p=index.case_chances(wanted, 0.0))
    assert ks_distance(drawn, wanted, 0.0) < 0.06
    assert ks_distance(own, wanted, 0.0) > 0.1


@pytest.mark.parametrize(("text", "nearest"), [("constant:5", 20.0), ("constant:140", 80.0)])
def test_a_schedule_beyond_the_cases_draws_the_nearest(text: str, nearest: float) -> None:
    index = VolumeIndex(["a", "b", "c"], [20.0, 50.0, 80.0])
    schedule = parse_schedule(text)
    chances = index.case_chances(schedule, 0.0)
    assert index.volumes_ml[chances.argmax()] == nearest
    assert chances.max() == pytest.approx(1.0)
    assert index.coverage(schedule, 0.0) == pytest.approx(0.0)


def test_coverage_is_the_share_of_the_schedule_that_the_cases_reach() -> None:
    index = VolumeIndex(["a", "b"], [21.0, 119.0])
    assert index.coverage(parse_schedule("uniform:20:120"), 0.0) == pytest.approx(1.0)
    assert index.coverage(parse_schedule("uniform:70:270"), 0.0) == pytest.approx(0.25, abs=0.05)


def test_equal_volumes_share_one_bin() -> None:
    index = VolumeIndex(["a", "b", "c", "d"], [40.0, 40.0, 40.0, 90.0])
    chances = index.case_chances(parse_schedule("constant:40"), 0.0)
    np.testing.assert_allclose(chances, [1 / 3, 1 / 3, 1 / 3, 0.0])


@pytest.mark.parametrize("text", ["uniform:20:120", "constant:40", "normal:60:15", None])
@pytest.mark.parametrize("max_bins", [1, 7, 256])
def test_a_number_leads_to_the_case_that_the_chances_give_it(text: str | None, max_bins: int) -> None:
    rng = np.random.default_rng(0)
    index = VolumeIndex([f"case{i}" for i in range(500)], list(rng.uniform(10, 130, 500)), max_bins)
    schedule = None if text is None else parse_schedule(text)
    cumulative = np.cumsum(index.case_chances(schedule, 0.3))
    bins = None if schedule is None else index.bin_chances(schedule, 0.3)
    for number in rng.random(2000):
        expected = min(int(np.searchsorted(cumulative / cumulative[-1], number, side="right")), len(index) - 1)
        assert index.case_at(float(number), bins) == expected
    for number in (0.0, float(np.nextafter(1.0, 0.0)), 1.0):
        chosen = index.case_at(number, bins)
        assert 0 <= chosen < len(index)
        assert index.case_chances(schedule, 0.3)[chosen] > 0
