"""The pool follows the schedule, also while it moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.live import LiveOptions
from synthaug.live.generating import LiveTask, LiveWork
from synthaug.live.live_source import LiveSource
from synthaug.live.pool import PoolWriter
from synthaug.live.volume_bins import VolumeBins
from synthaug.precomputing.requests import configuration_digest
from synthaug.quality import QualityConfig
from synthaug.schedules import parse_schedule
from synthaug.sources.statistics import ks_distance
from synthaug.store import Store, case_name
from tests.stand_in_generator import StandInGenerator

STAND_IN = "python:tests.stand_in_generator:make"
CURRICULUM = {
    "kind": "piecewise",
    "stages": [
        {"until": 0.5, "schedule": "uniform:20:60"},
        {"until": 1.0, "schedule": "uniform:50:120"},
    ],
}


LIMITS_ML = StandInGenerator().bounds.limits_ml["ventricles"]


@pytest.fixture
def source_and_work(tmp_path: Path) -> tuple[LiveSource, LiveWork]:
    options = LiveOptions(capacity=48, most_uses=10**6, look_ahead=0.0)
    source = LiveSource(STAND_IN, CURRICULUM, options=options, folder=tmp_path / "pool")
    task = LiveTask(STAND_IN, {}, "cpu", source.folder, source.schedule, QualityConfig(), options, LIMITS_ML, None, 0)
    writer = PoolWriter(Store.open(source.folder), options.capacity)
    bins = VolumeBins(*LIMITS_ML)
    return source, LiveWork(task, StandInGenerator(), writer, source.state, source.place, bins)


def drawn(source: LiveSource, progress: float, count: int = 500) -> list[float]:
    draws = [source.draw(index, seed=0, epoch=0, progress=progress) for index in range(count)]
    return [draw.volumes_ml["ventricles"] for draw in draws if draw is not None]


def test_draws_follow_a_curriculum_as_it_moves(source_and_work: tuple[LiveSource, LiveWork]) -> None:
    source, work = source_and_work
    rng = np.random.default_rng(0)
    for progress in (0.25, 0.75):
        source.set_epoch(0, progress)
        made = 0
        while work.make_one(rng):
            made += 1
            assert made < 200
        volumes = drawn(source, progress)
        assert len(volumes) > 480  # hardly any fallback
        assert ks_distance(np.array(volumes), parse_schedule(CURRICULUM), progress) < 0.1
        assert len(source) <= 48


def test_worn_cases_leave_first(source_and_work: tuple[LiveSource, LiveWork]) -> None:
    source, work = source_and_work
    rng = np.random.default_rng(0)
    source.set_epoch(0, 0.25)
    while work.make_one(rng):
        pass
    cases = source._reader.cases()
    worn = cases[5]
    object.__setattr__(work.task.options, "most_uses", 3)
    for _ in range(3):
        source.state.count_use(worn.slot, worn.number)
    assert work.make_one(rng)
    assert worn.name not in {one.name for one in source._reader.cases()}
    assert source.state.uses()[worn.slot] == 0


def test_a_generator_that_is_slower_than_the_loop_costs_variety_not_the_ratio(
    source_and_work: tuple[LiveSource, LiveWork],
) -> None:
    source, work = source_and_work
    object.__setattr__(source.options, "most_uses", 1)
    for _ in range(30):
        assert work.make_one(np.random.default_rng(0))
    source.set_epoch(0, 0.25)
    for one in source._reader.cases():
        source.state.count_use(one.slot, one.number)
    assert len(drawn(source, 0.25, 100)) > 50
    object.__setattr__(source.options, "strict_uses", True)
    assert drawn(source, 0.25, 100) == []


def test_a_pool_that_lacks_what_is_banned_rests(source_and_work: tuple[LiveSource, LiveWork]) -> None:
    source, work = source_and_work
    source.set_epoch(0, 0.25)
    for number in range(len(work.bins) // 2, len(work.bins)):
        source.state.ban(number)
    rng, made = np.random.default_rng(0), 0
    while work.make_one(rng):
        made += 1
        assert made <= 3 * source.options.capacity


def test_a_pair_has_the_name_that_a_cache_would_give_it(source_and_work: tuple[LiveSource, LiveWork]) -> None:
    _, work = source_and_work
    assert work.make_one(np.random.default_rng(0))
    store = work.writer.store
    (name,) = store.names()
    asked = store.provenance(name)
    configuration = configuration_digest(work.task.generator_options, work.task.quality)
    condition = Condition(asked["requested_ml"])
    assert name == case_name(work.generator.fingerprint, configuration, condition, asked["seed"])
