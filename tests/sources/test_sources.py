"""A draw is a function of (seed, rank, epoch, index, progress)."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError, StoreError
from synthaug.precomputing.requests import configuration_digest
from synthaug.quality import QualityConfig
from synthaug.schedules import parse_schedule
from synthaug.sources import GeneratorSource, Source, StoreSource, describe_draws
from synthaug.store import Store, StoreInfo, case_name
from synthaug.volumes import LabeledVolume
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

UNIFORM = parse_schedule("uniform:20:120")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    generator = StandInGenerator()
    store = Store.create(tmp_path_factory.mktemp("sources") / "cache", StoreInfo.of(generator))
    fill(store, generator, np.linspace(8.0, 140.0, 40).tolist())
    return store


@pytest.fixture(params=["store", "generator"])
def source(request: pytest.FixtureRequest, store: Store) -> Source:
    return StoreSource(store, UNIFORM) if request.param == "store" else GeneratorSource(StandInGenerator(), UNIFORM)


def drawn(source: Source, **place: int) -> list[str]:
    where = {"seed": 1, "epoch": 2, "rank": 0, **place}
    return [draw.name for index in range(20) if (draw := source.draw(index, **where)) is not None]


def test_pairs_that_are_kept_cannot_be_changed_by_whoever_draws_them() -> None:
    source = GeneratorSource(StandInGenerator(), UNIFORM, distinct=1, capacity=1)

    def drawn() -> LabeledVolume:
        draw = source.draw(0, seed=0, epoch=0)
        pair = draw.read()
        assert pair is not None
        return pair

    with pytest.raises(ValueError, match="read-only"):
        drawn().image[:] = 0.5
    with pytest.raises(ValueError, match="read-only"):
        drawn().label[:] = 0


def test_draws_repeat_and_each_coordinate_changes_them(source: Source) -> None:
    base = drawn(source)
    assert len(base) == 20
    assert drawn(pickle.loads(pickle.dumps(source))) == base
    for other in ({"seed": 3}, {"epoch": 3}, {"rank": 1}):
        assert drawn(source, **other) != base


def test_a_draw_does_not_depend_on_those_before_it(source: Source) -> None:
    base = drawn(source)
    alone = source.draw(7, seed=1, epoch=2)
    assert alone is not None
    assert alone.name == base[7]


def test_a_draw_reads_the_pair_that_it_names(source: Source) -> None:
    draw = source.draw(0, seed=1, epoch=0)
    assert draw is not None
    pair = draw.read()
    assert pair is not None
    assert pair.volumes_ml()["ventricles"] == pytest.approx(draw.volumes_ml["ventricles"], abs=0.1)
    assert pair.provenance["seed"] == draw.seed


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_500_draws_follow_the_schedule(store: Store, progress: float) -> None:
    source = StoreSource(store, UNIFORM)
    draws = [source.draw(index, seed=0, epoch=0, progress=progress) for index in range(500)]
    described = describe_draws(draws, "ventricles", UNIFORM, progress)
    assert described["ks_distance"] < 0.1
    assert described["draws"] == 500
    assert described["unique_fraction"] <= 40 / 500
    assert sum(described["histogram"]["counts"]) == 500


def test_without_a_schedule_every_case_is_as_likely_as_any_other(store: Store) -> None:
    source = StoreSource(store)
    names = [source.draw(index, seed=0, epoch=0).name for index in range(2000)]
    counts = [names.count(name) for name in store.names()]
    assert min(counts) > 20
    assert max(counts) < 90


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    empty = Store.create(tmp_path / "cache", StoreInfo.of(StandInGenerator()))
    with pytest.raises(StoreError, match="empty"):
        StoreSource(empty)


def test_refresh_takes_in_new_cases(tmp_path: Path) -> None:
    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator, [30.0])
    with pytest.warns(UserWarning, match="30 to 30 mL"):
        source = StoreSource(Store.open(store.folder), UNIFORM)
    assert len(source) == 1
    fill(store, generator, [30.5, 60.0])
    assert len(source) == 1
    source.refresh()
    assert len(source) == 3


def test_a_generator_source_keeps_the_pairs_made_last() -> None:
    generator = StandInGenerator()
    source = GeneratorSource(generator, UNIFORM, capacity=2)
    draws = [source.draw(index, seed=0, epoch=0) for index in range(3)]
    for draw in (draws[0], draws[1], draws[0], draws[2], draws[0]):
        draw.read()
    assert len(generator.calls) == 3
    draws[1].read()  # was the one not used for longest
    assert len(generator.calls) == 4
    assert pickle.loads(pickle.dumps(source))._made == {}


def test_distinct_requests_are_made_once_if_the_memory_holds_them() -> None:
    generator = StandInGenerator()
    source = GeneratorSource(generator, UNIFORM, distinct=3, capacity=3)
    for epoch in range(4):
        for index in range(5):
            source.draw(index, seed=0, epoch=epoch).read()
    assert len(generator.calls) == 3
    assert len(source) == 3
    assert len(GeneratorSource(generator)) == sys.maxsize


def test_a_request_that_never_passes_gives_no_pair() -> None:
    impossible = QualityConfig(min_structure_voxels=10**6, max_attempts=2)
    source = GeneratorSource(StandInGenerator(), UNIFORM, quality=impossible)
    assert source.draw(0, seed=0, epoch=0).read() is None


def test_a_pair_has_the_name_that_a_cache_would_give_it() -> None:
    generator, quality = StandInGenerator(), QualityConfig(max_attempts=3)
    draw = GeneratorSource(generator, UNIFORM, quality=quality).draw(4, seed=0, epoch=1)
    configuration = configuration_digest({}, quality)
    assert draw.name == case_name(generator.fingerprint, configuration, Condition(draw.volumes_ml), draw.seed)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="distinct"):
        GeneratorSource(StandInGenerator(), distinct=0)
    with pytest.raises(ConfigurationError, match="capacity"):
        GeneratorSource(StandInGenerator(), capacity=-1)
