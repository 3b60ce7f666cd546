import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.errors import BoundsError, SynthAugError
from synthaug.schedules import (
    KINDS,
    Constant,
    Empirical,
    HistogramMatching,
    LogUniform,
    Normal,
    Piecewise,
    Uniform,
    VolumeSchedule,
    parse_schedule,
)

SCHEDULES: tuple[VolumeSchedule, ...] = (
    Constant(40.0),
    Uniform(20.0, 120.0),
    LogUniform(8.0, 120.0),
    Normal(40.0, 10.0),
    Normal(10.0, 20.0, 5.0, 60.0),
    Empirical((12.0, 30.0, 55.0)),
    Empirical((12.0, 30.0, 55.0), spread=0.2),
    HistogramMatching(Uniform(10.0, 110.0), (15.0, 18.0, 22.0, 31.0), 0.5, (10.0, 20.0, 40.0, 110.0)),
    Piecewise(((0.4, Uniform(20.0, 40.0)), (1.0, LogUniform(20.0, 120.0)))),
)
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: one.kind)


def test_every_kind_is_tested() -> None:
    assert {one.kind for one in SCHEDULES} == set(KINDS)


@every_schedule
@pytest.mark.parametrize("progress", [0.0, 0.39, 0.4, 1.0])
def test_draws_follow_the_distribution_function(schedule: VolumeSchedule, progress: float) -> None:
    rng = np.random.default_rng(0)
    draws = np.sort([schedule.draw(progress, rng) for _ in range(800)])
    below = np.array([schedule.cdf(volume_ml, progress) for volume_ml in draws])
    just_below = np.array([schedule.cdf(float(np.nextafter(volume_ml, 0)), progress) for volume_ml in draws])
    # Kolmogorov's distance on both sides of each step; 0.061 is its 99.5 % quantile for 800 draws
    upper = np.searchsorted(draws, draws, side="right") / len(draws)
    lower = np.searchsorted(draws, draws, side="left") / len(draws)
    assert max(np.abs(upper - below).max(), np.abs(lower - just_below).max()) < 0.061


@every_schedule
def test_the_distribution_function_rises_from_0_to_1(schedule: VolumeSchedule) -> None:
    at = [schedule.cdf(volume_ml, 0.7) for volume_ml in np.linspace(0, 1000, 500)]
    assert at[0] == pytest.approx(0, abs=1e-3)
    assert at[-1] == pytest.approx(1)
    assert (np.diff(at) >= 0).all()


@every_schedule
def test_the_same_generator_state_gives_the_same_draw(schedule: VolumeSchedule) -> None:
    draws = {schedule.draw(0.2, np.random.default_rng(5)) for _ in range(3)}
    assert len(draws) == 1
    assert type(draws.pop()) is float


@every_schedule
def test_schedules_survive_json_pickle_and_files(schedule: VolumeSchedule, tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps(schedule.to_dict()))
    for copy in (parse_schedule(path), parse_schedule(str(path)), pickle.loads(pickle.dumps(schedule))):
        assert copy == schedule
    assert parse_schedule(schedule) is schedule


@every_schedule
@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_outside_training_is_refused(schedule: VolumeSchedule, progress: float) -> None:
    with pytest.raises(BoundsError, match="progress is"):
        schedule.draw(progress, np.random.default_rng(0))
    with pytest.raises(BoundsError, match="progress is"):
        schedule.cdf(10.0, progress)


@given(st.floats(0.01, 1e3), st.floats(1.001, 100), st.integers(0, 2**32 - 1))
def test_draws_never_leave_their_range(low_ml: float, factor: float, seed: int) -> None:
    high_ml = low_ml * factor
    for schedule in (Uniform(low_ml, high_ml), LogUniform(low_ml, high_ml), Normal(low_ml, high_ml, low_ml, high_ml)):
        assert low_ml <= schedule.draw(0.5, np.random.default_rng(seed)) <= high_ml


@given(st.lists(st.floats(0.1, 300), min_size=2, max_size=8, unique=True), st.floats(0, 1))
def test_bin_weights_add_up_to_the_mass_between_the_edges(edges: list[float], progress: float) -> None:
    edges = sorted(edges)
    for schedule in SCHEDULES:
        weights = schedule.bin_weights(edges, progress)
        below = schedule.cdf(float(np.nextafter(edges[0], 0)), progress)
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(schedule.cdf(edges[-1], progress) - below, abs=1e-9)


def test_a_point_mass_on_an_edge_is_in_one_bin() -> None:
    assert Constant(40.0).bin_weights([40.0, 50.0, 60.0], 0).tolist() == [1.0, 0.0]
    assert Constant(40.0).bin_weights([20.0, 40.0, 60.0], 0).tolist() == [1.0, 0.0]
    with pytest.raises(BoundsError, match="bin edges"):
        Constant(40.0).bin_weights([40.0, 40.0], 0)


def test_histogram_matching_fills_what_the_real_set_lacks() -> None:
    real = (12.0, 15.0, 18.0, 35.0)
    schedule = HistogramMatching(Uniform(10.0, 110.0), real, 0.75, (10.0, 20.0, 40.0, 110.0))
    # target 0.1, 0.2, 0.7; a quarter of the real shares 0.75, 0.25, 0 is there already, too much in the first bin
    lacking = np.array([0.0, 0.2 - 0.0625, 0.7])
    assert schedule.weights(0.3) == pytest.approx(lacking / lacking.sum())
    only_synthetic = HistogramMatching(Uniform(10.0, 110.0), real, 1.0, (10.0, 20.0, 40.0, 110.0))
    assert only_synthetic.weights(0.3) == pytest.approx([0.1, 0.2, 0.7])


def test_histogram_matching_reaches_the_target_where_it_can() -> None:
    real = tuple(np.random.default_rng(0).uniform(10, 40, 200))
    target = Uniform(10.0, 110.0)
    schedule = HistogramMatching(target, real, 0.8, tuple(np.linspace(10.0, 110.0, 11)))
    share = np.histogram(real, bins=schedule.edges_ml)[0] / len(real)
    assert 0.2 * share + 0.8 * schedule.weights(0.0) == pytest.approx(np.full(10, 0.1), abs=1e-6)


def test_a_curriculum_moves_on_and_gives_each_stage_its_own_progress() -> None:
    inner = Piecewise(((0.5, Constant(1.0)), (1.0, Constant(2.0))))
    outer = Piecewise(((0.5, inner), (1.0, Constant(3.0))))
    drawn = [outer.draw(progress, np.random.default_rng(0)) for progress in (0.0, 0.24, 0.25, 0.49, 0.5, 1.0)]
    assert drawn == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Uniform(30, 20), "the first must be below the second"),
        (lambda: Uniform(-1, 20), "0 or more"),
        (lambda: LogUniform(0, 20), "more than 0"),
        (lambda: Constant(float("nan")), "allowed: a volume in mL"),
        (lambda: Normal(40, 0), "more than 0"),
        (lambda: Normal(40, 1, 90, 95), "no draw"),
        (lambda: Empirical(()), "no volumes"),
        (lambda: Empirical((1.0,), spread=-1), "spread -1"),
        (lambda: HistogramMatching(Constant(1), (1.0,), 0.0, (1, 2)), "fraction 0.0; allowed: above 0"),
        (lambda: HistogramMatching(Constant(1), (), 0.5, (1, 2)), "no real volumes"),
        (lambda: HistogramMatching(Constant(1), (1.0,), 0.5, (2, 1)), "bin edges"),
        (lambda: HistogramMatching(Constant(1, "csf"), (1.0,), 0.5, (1, 2)), "name the same structure"),
        (lambda: Piecewise(()), "stages end at"),
        (lambda: Piecewise(((0.5, Constant(1)),)), "the last one 1"),
        (lambda: Piecewise(((0.5, Constant(1)), (0.5, Constant(1)), (1, Constant(1)))), "increasing"),
        (lambda: Piecewise(((1, Constant(1, "csf")),)), "a stage of csf"),
    ],
)
def test_impossible_schedules_are_refused(make, reason: str) -> None:
    with pytest.raises(BoundsError, match=reason):
        make()


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("constant:40", Constant(40.0)),
        ("uniform:20:120", Uniform(20.0, 120.0)),
        ("log-uniform:8:120", LogUniform(8.0, 120.0)),
        ("normal:40:10", Normal(40.0, 10.0)),
        ("normal:40:10:5:120", Normal(40.0, 10.0, 5.0, 120.0)),
        ("empirical:12:30.5", Empirical((12.0, 30.5))),
        ("lateral_ventricles=uniform:5:60", Uniform(5.0, 60.0, "lateral_ventricles")),
    ],
)
def test_texts_are_read(text: str, schedule: VolumeSchedule) -> None:
    assert parse_schedule(text) == schedule


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("unifrom:20:120", "did you mean 'uniform'"),
        ("uniform:20", "does not take 1 numbers"),
        ("uniform:20:30:40", "does not take 3 numbers"),
        ("uniform:a:b", "must be numbers"),
        ("piecewise:1", "does not take"),
        ("empirical", "no volumes"),
        ("", "kind ''"),
        (3, "schedule: 3; allowed"),
        (
            {"kind": "uniform", "low": 3, "high_ml": 4},
            "unknown entry 'low' .did you mean 'low_ml'.*'low_ml' is missing",
        ),
        ({"kind": "uniform", "low_ml": "x", "high_ml": 4}, "'x' mL"),
        ({"kind": "piecewise", "stages": [{"until": 1}]}, "wrong form"),
        ({"kind": "empirical", "volumes_ml": 3}, "wrong form"),
        ({"low_ml": 3}, "kind None"),
        ("nowhere.json", "nowhere.json: cannot be read"),
    ],
)
def test_what_is_no_schedule_is_one_clear_line(value, reason: str) -> None:
    with pytest.raises(SynthAugError, match=reason) as caught:
        parse_schedule(value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_schedule_is_named(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    for content, reason in (("{", "not JSON"), ("[]", "holds list"), ('{"kind": "x"}', "kind 'x'")):
        path.write_text(content)
        with pytest.raises(SynthAugError, match=f"schedule.json: .*{reason}"):
            parse_schedule(path)
