"""Enumeration of arms and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthaug.study.arms import FROM_SCRATCH, Arm, plan_arms, plan_runs
from tests.study.small_study import small_config

EVERY = ["real", "synthetic", "mixed", "synthetic-then-real", "mixed-then-real"]
TWO = {"a": {"generator": "ventricles-t1-1mm"}, "b": {"generator": "counterfactual"}}


def arms(**changes: Any) -> list[Arm]:
    return plan_arms(small_config(Path("x"), **changes))


def count(found: list[Arm], strategy: str) -> int:
    return sum(one.strategy == strategy for one in found)


def test_axes_multiply_only_what_they_change() -> None:
    found = arms(strategies=EVERY, generators=TWO, schedules=["uniform:20:80", "constant:40"], ratios=[0.2, 0.5, 0.8])
    assert [count(found, one) for one in EVERY] == [1, 4, 12, 4, 12]
    assert len(found) == len(set(found))


def test_sizes_of_the_real_set_repeat_no_arm_that_draws_none_of_it() -> None:
    found = arms(strategies=EVERY, generators=TWO, real_cases=[1, 2, 3])
    assert count(found, "real") == 3
    synthetic = [(one.generator, one.real_cases) for one in found if one.strategy == "synthetic"]
    assert synthetic == [("a", None), ("b", 1), ("b", 2), ("b", 3)]  # b draws from the real cases


def test_a_blend_with_a_generator_that_draws_from_cases_draws_from_cases() -> None:
    generators = {**TWO, "both": {"blend": {"a": 1, "b": 1}}}
    found = arms(strategies=["synthetic"], generators=generators, real_cases=[1, 2])
    assert sum(one.generator == "both" for one in found) == 2


def test_a_transfer_adds_the_arm_from_scratch_once() -> None:
    found = arms(strategies=["real", "synthetic"], transfer={"dataset": "y", "fold": 0}, real_cases=[1, 2])
    assert count(found, FROM_SCRATCH) == 1
    assert count(found, "real") == 2


def test_all_arms_come_with_the_first_seed_before_any_with_the_second() -> None:
    runs = plan_runs(small_config(Path("x"), seeds=[3, 5]))
    assert [run.seed for run in runs] == [3, 3, 5, 5]
    assert runs[0].arm == runs[2].arm


def test_names_follow_from_content() -> None:
    first, again = (plan_runs(small_config(Path("x"))) for _ in range(2))
    assert [run.name for run in first] == [run.name for run in again]
    assert len({run.name for run in first}) == len(first)


@pytest.mark.parametrize("change", [{"steps": 4}, {"batch": 2}, {"spacing_mm": 4}, {"augmentation": False}])
def test_what_determines_a_result_changes_every_name(change: dict[str, Any]) -> None:
    before, after = plan_runs(small_config(Path("x"))), plan_runs(small_config(Path("x"), **change))
    assert not {run.name for run in before} & {run.name for run in after}


def test_what_concerns_pairs_leaves_the_name_of_the_real_arm() -> None:
    before, after = plan_runs(small_config(Path("x"))), plan_runs(small_config(Path("x"), num_pairs=7))
    assert before[0].name == after[0].name
    assert before[1].name != after[1].name


def test_numbers_of_pairs_are_an_axis_of_what_draws_them() -> None:
    found = arms(strategies=EVERY, num_pairs=[2, 5])
    assert [count(found, one) for one in EVERY] == [1, 2, 2, 2, 2]
    assert [one.num_pairs for one in found if one.strategy == "mixed"] == [2, 5]
    assert next(one for one in found if one.num_pairs == 5).title.endswith("5 pairs")
    assert [one.num_pairs for one in arms(strategies=EVERY, num_pairs=5)] == [None] * 5


def test_an_arm_is_the_same_whether_or_not_others_have_more_pairs() -> None:
    alone = {run.name for run in plan_runs(small_config(Path("x"), num_pairs=5))}
    among = {run.name for run in plan_runs(small_config(Path("x"), num_pairs=[2, 5]))}
    assert alone < among


def test_strategies_are_the_schedules_of_medgen3d() -> None:
    config = small_config(Path("x"), strategies=EVERY, ratios=[0.25], switch=0.6)
    shares = {}
    for arm in plan_arms(config):
        mix = arm.mix(config.switch)
        shares[arm.strategy] = (mix.fraction(0.0), mix.fraction(0.59), mix.fraction(0.6), mix.fraction(1.0))
    assert shares == {
        "real": (0, 0, 0, 0),
        "synthetic": (1, 1, 1, 1),
        "mixed": (0.25, 0.25, 0.25, 0.25),
        "synthetic-then-real": (1, 1, 0, 0),
        "mixed-then-real": (0.25, 0.25, 0, 0),
    }
