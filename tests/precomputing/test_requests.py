"""Everybody draws the same requests, and more of them only add to those that were there."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.conditions import VolumeBounds
from synthaug.errors import BoundsError, ConfigurationError
from synthaug.precomputing import plan_requests
from synthaug.precomputing.requests import control_schedule, default_schedule
from synthaug.quality import QualityConfig
from synthaug.schedules import parse_schedule
from tests.stand_in_generator import StandInGenerator

SCHEDULE = parse_schedule("uniform:20:120")


def test_requests_are_the_same_each_time_and_all_different() -> None:
    first = plan_requests(StandInGenerator(), SCHEDULE, num=20, seed=3)
    assert plan_requests(StandInGenerator(), SCHEDULE, num=20, seed=3) == first
    assert len({request.name for request in first}) == 20
    assert len({request.seed for request in first}) == 20
    assert all(20 <= request.condition.targets_ml["ventricles"] <= 120 for request in first)


def test_a_larger_number_keeps_the_requests_before() -> None:
    small = plan_requests(StandInGenerator(), SCHEDULE, num=5, seed=3)
    assert plan_requests(StandInGenerator(), SCHEDULE, num=9, seed=3)[:5] == small


@pytest.mark.parametrize(
    "change",
    [{"seed": 4}, {"options": {"steps": 5}}, {"quality": QualityConfig(volume_tolerance=0.1)}],
    ids=["seed", "options", "quality"],
)
def test_whatever_changes_the_content_changes_the_names(change: dict[str, object]) -> None:
    base = plan_requests(StandInGenerator(), SCHEDULE, num=3, seed=3)
    other = plan_requests(StandInGenerator(), SCHEDULE, num=3, **{"seed": 3, **change})  # type: ignore[arg-type]
    assert not {r.name for r in base} & {r.name for r in other}


def test_other_weights_give_other_names() -> None:
    one = plan_requests(StandInGenerator(), SCHEDULE, num=3)
    two = plan_requests(StandInGenerator(version=2), SCHEDULE, num=3)
    assert not {r.name for r in one} & {r.name for r in two}


def test_a_target_out_of_bounds_is_refused_unless_extrapolation_is_asked_for() -> None:
    beyond = parse_schedule("constant:200")
    with pytest.raises(BoundsError):
        plan_requests(StandInGenerator(), beyond, num=1)
    assert plan_requests(StandInGenerator(), beyond, num=1, extrapolate=True)[0].condition.extrapolate


@pytest.mark.parametrize(("num", "seed"), [(0, 0), (1, -1), (1_000_001, 0), (10**20, 0)])
def test_numbers_out_of_range_are_refused(num: int, seed: int) -> None:
    with pytest.raises(ConfigurationError):
        plan_requests(StandInGenerator(), SCHEDULE, num=num, seed=seed)


def test_the_default_schedule_covers_what_the_generator_allows() -> None:
    schedule = default_schedule(StandInGenerator())
    assert schedule.cdf(5.0, 0.0) == pytest.approx(0.0)
    assert schedule.cdf(77.5, 0.0) == pytest.approx(0.5)  # large volumes are as many as small ones
    assert schedule.cdf(150.0, 0.0) == pytest.approx(1.0)


def test_control_is_measured_over_orders_of_magnitude() -> None:
    schedule = control_schedule(StandInGenerator())
    assert schedule.cdf((5.0 * 150.0) ** 0.5, 0.0) == pytest.approx(0.5)
    generator = StandInGenerator()
    generator.bounds = VolumeBounds({"thalamus": (0.0, 20.0)})
    assert control_schedule(generator).cdf(10.0, 0.0) == pytest.approx(0.5)  # 0 has no logarithm


def test_a_generator_of_one_volume_or_none_has_a_default_all_the_same() -> None:
    generator = StandInGenerator()
    generator.bounds = VolumeBounds({"thalamus": (20.0, 20.0)})
    for schedule in (default_schedule(generator), control_schedule(generator)):
        assert (schedule.structure, schedule.draw(0.0, np.random.default_rng(0))) == ("thalamus", 20.0)
    generator.bounds = VolumeBounds({})
    with pytest.raises(ConfigurationError, match=r"stand-in: states no volume .*; give a schedule"):
        default_schedule(generator)


def test_without_ventricles_the_default_schedule_is_that_of_the_first_control() -> None:
    generator = StandInGenerator()
    generator.bounds = VolumeBounds({"thalamus": (4.0, 20.0), "brain": (900.0, 1500.0)})
    schedule = default_schedule(generator)
    assert schedule.structure == "thalamus"
    assert schedule.cdf(20.0, 0.0) == pytest.approx(1.0)
    assert schedule.cdf(4.0, 0.0) == pytest.approx(0.0)
