"""What is drawn at each step: shares, phases, schedules, and draws that repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthaug.schedules import parse_mix, parse_schedule
from synthaug.study.grid_case import GridCase
from synthaug.study.lessons import Lessons, PairPool

STEPS = 400


def case(name: str) -> GridCase:
    return GridCase(name, torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, dtype=torch.uint8))


REAL = [case(f"real_{number}") for number in range(4)]


def pool(prefix: str, schedule: str | None = None, count: int = 10) -> PairPool:
    """Pairs ``PREFIX_10``, ``PREFIX_20`` ... by their volumes in mL."""
    volumes = [10.0 * (number + 1) for number in range(count)]
    names = [f"{prefix}_{volume:g}" for volume in volumes]
    return PairPool(names, volumes, parse_schedule(schedule) if schedule else None, case)


def drawn(lessons: Lessons) -> list[str]:
    return [lessons.draw(step, 0, step / STEPS).name for step in range(STEPS)]


def share(names: list[str], prefix: str) -> float:
    return float(np.mean([name.startswith(prefix) for name in names]))


def test_the_share_of_synthetic_cases_is_that_of_the_mix() -> None:
    names = drawn(Lessons(REAL, [(1.0, pool("made"))], parse_mix(0.3), seed=0))
    assert share(names, "made") == pytest.approx(0.3, abs=0.06)
    assert len({name for name in names if name.startswith("real")}) == 4


def test_a_second_phase_is_real() -> None:
    names = drawn(Lessons(REAL, [(1.0, pool("made"))], parse_mix("synthetic-then-real:0.25"), seed=0))
    assert share(names[:100], "made") == 1
    assert share(names[100:], "real") == 1


def test_a_transfer_ends_on_the_second_data_set() -> None:
    second = [case("second")]
    mix = parse_mix("synthetic-then-real:0.5")
    names = drawn(Lessons(REAL, [(1.0, pool("made"))], mix, 0, second, switch=0.5))
    assert [share(names[low : low + 100], prefix) for low, prefix in
            ((0, "made"), (100, "real"), (200, "second"), (300, "second"))] == [1, 1, 1, 1]  # fmt: skip
    assert set(drawn(Lessons([], [], parse_mix("real"), 0, second, switch=0.0))) == {"second"}


def test_pools_of_a_blend_are_drawn_by_their_weights() -> None:
    pools = [(0.75, pool("often")), (0.25, pool("seldom"))]
    names = drawn(Lessons([], pools, parse_mix("synthetic"), seed=1))
    assert share(names, "often") == pytest.approx(0.75, abs=0.06)


def test_draws_depend_on_seed_step_and_place_alone() -> None:
    def make(seed: int) -> Lessons:
        return Lessons(REAL, [(1.0, pool("made"))], parse_mix(0.5), seed)

    forwards = drawn(make(0))
    lessons = make(0)
    backwards = [lessons.draw(step, 0, step / STEPS).name for step in reversed(range(STEPS))]
    assert forwards == backwards[::-1]
    assert forwards != drawn(make(1))
    assert forwards != [lessons.draw(step, 1, step / STEPS).name for step in range(STEPS)]


def test_arms_of_a_seed_draw_the_same_real_cases() -> None:
    real = drawn(Lessons(REAL, [], parse_mix("real"), seed=2))
    mixed = drawn(Lessons(REAL, [(1.0, pool("made"))], parse_mix(0.5), seed=2))
    assert all(one == other for one, other in zip(real, mixed, strict=True) if other.startswith("real"))


def test_volumes_follow_the_schedule_over_the_training() -> None:
    chosen = pool("made", "uniform:10:30")
    rng = np.random.default_rng(0)
    assert {chosen.draw(0.5, rng).name for _ in range(60)} == {"made_10", "made_20", "made_30"}


def test_every_pair_is_as_likely_without_a_schedule() -> None:
    chosen, rng = pool("made"), np.random.default_rng(0)
    counts = np.unique([chosen.draw(0.0, rng).name for _ in range(2000)], return_counts=True)[1]
    assert len(counts) == 10
    assert counts.min() > 140


def test_a_pair_is_read_once() -> None:
    read = []

    def reading(name: str) -> GridCase:
        read.append(name)
        return case(name)

    chosen = PairPool(["a", "b"], [1, 2], None, reading)
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen.draw(0.0, rng)
    assert sorted(read) == ["a", "b"]
