"""The pool: limits of its size, the form of its cases, and its start from a cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError, StoreError
from synthaug.live import LiveOptions, LiveSource, pool
from synthaug.live.generating import LiveTask, fill_from_cache
from synthaug.live.pool import PoolReader, PoolWriter, pool_bytes
from synthaug.live.shared_pool_state import SharedPoolState
from synthaug.quality import QualityConfig
from synthaug.schedules import parse_schedule
from synthaug.store import Store, StoreInfo
from synthaug.volumes import LabeledVolume
from tests.stand_in_generator import StandInGenerator

STAND_IN = "python:tests.stand_in_generator:make"


class Sidecar:
    """A form that is one file a case, and fails when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fails = False

    def add(self, store: Store, name: str, pair: LabeledVolume) -> None:
        if self.fails:
            raise OSError(28, "No space left on device")
        (self.folder / name).write_text(str(pair.label.sum()))

    def remove(self, store: Store, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


def pair(volume_ml: float, seed: int) -> LabeledVolume:
    (made,) = StandInGenerator().generate([Condition({"ventricles": volume_ml})], [seed])
    return made


def add(writer: PoolWriter, volume_ml: float, leave: str | None = None) -> str:
    name = f"case-{volume_ml:.0f}"
    writer.add(name, pair(volume_ml, 1), None, volume_ml, epoch=0, leave=leave)
    return name


def test_the_form_of_a_case_comes_and_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(pool.time, "monotonic", lambda: clock[0])
    (tmp_path / "forms").mkdir()
    form = Sidecar(tmp_path / "forms")
    writer = PoolWriter(Store.create(tmp_path / "pool", StoreInfo.of(StandInGenerator())), 2, form=form)
    first, second = add(writer, 30), add(writer, 40)
    third = add(writer, 50, leave=first)
    clock[0] += pool.GRACE_S  # the first can be read so long
    fourth = add(writer, 60, leave=second)
    assert {path.name for path in form.folder.iterdir()} == {second, third, fourth}
    assert set(writer.store.names()) == {second, third, fourth}
    form.fails = True
    with pytest.raises(StoreError, match="No space left"):
        add(writer, 70, leave=third)
    assert [one.name for one in PoolReader(tmp_path / "pool", 2).cases()] == [third, fourth]
    assert "case-70" not in writer.store.names()


def test_a_pool_can_be_bounded_by_its_size(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "pool", StoreInfo.of(StandInGenerator()))
    unbounded = PoolWriter(store, 50)
    for volume_ml in (30, 40, 50):
        add(unbounded, volume_ml)
    each = pool_bytes(store.folder) / 3
    assert PoolWriter(store, 50, most_bytes=5.5 * each).capacity == 4
    assert PoolWriter(store, 50, most_bytes=0.1 * each).capacity == 1
    assert PoolWriter(store, 3, most_bytes=100 * each).capacity == 3


def test_cases_of_a_cache_fill_the_pool_as_the_schedule_wants(tmp_path: Path) -> None:
    cache = Store.create(tmp_path / "cache", StoreInfo.of(StandInGenerator()))
    for number in range(40):
        cache.add(f"cached-{number}", pair(22 + 2 * number, number))
    image = cache.folder / "cases" / "cached-5" / "image.b2nd"
    image.write_bytes(image.read_bytes()[:-7])  # 32 mL: a damaged case is left out
    schedule = parse_schedule("uniform:30:50")
    source = LiveSource(STAND_IN, schedule, options=LiveOptions(capacity=8), folder=tmp_path / "pool", cache=cache)
    limits_ml = StandInGenerator().bounds.limits_ml["ventricles"]
    task = LiveTask(
        STAND_IN, {}, "cpu", source.folder, schedule, QualityConfig(), source.options, limits_ml, None, 0,
        cache=cache.folder,
    )  # fmt: skip
    fill_from_cache(task, source.state, source.place, np.random.default_rng(0))
    held = PoolReader(source.folder, 8).cases()
    assert len(held) == 8
    assert all(25 < one.volume_ml < 55 for one in held)
    assert "cached-5" not in {one.name for one in held}
    drawn = [draw for index in range(40) if (draw := source.draw(index, seed=0, epoch=0, progress=0.0)) is not None]
    assert len(drawn) > 20
    assert all(draw.read() is not None and draw.born is None for draw in drawn)


def test_the_cache_of_another_generator_is_refused(tmp_path: Path) -> None:
    other = StandInGenerator()
    other.fingerprint = "f" * 64
    cache = Store.create(tmp_path / "cache", StoreInfo.of(other))
    with pytest.raises(StoreError):
        LiveSource(STAND_IN, "uniform:30:50", folder=tmp_path / "pool", cache=cache)


def test_a_reader_sees_what_the_writer_of_its_node_made(tmp_path: Path) -> None:
    options = LiveOptions(capacity=4, first=2, niceness=0)
    with LiveSource(STAND_IN, "uniform:30:31", options=options, folder=tmp_path / "pool") as writing:
        reading = LiveSource(STAND_IN, "uniform:30:31", options=options, folder=tmp_path / "pool", writes=False)
        with reading:
            draws = [draw for index in range(40) if (draw := reading.draw(index, seed=0, epoch=0)) is not None]
            assert draws
            used = writing.state.uses()
            assert draws[0].read() is not None
            assert sum(writing.state.uses()) == sum(used) + 1
        assert writing.supervisor.alive  # a reader ends nothing
        with pytest.raises(ConfigurationError, match="known to the process alone"):
            _ = reading.supervisor
    with pytest.raises(ConfigurationError, match="needs the folder"):
        LiveSource(STAND_IN, "uniform:30:31", writes=False)


def test_a_cache_is_no_pool(tmp_path: Path) -> None:
    cache = Store.create(tmp_path / "cache", StoreInfo.of(StandInGenerator()))
    cache.add("case-30", pair(30, 1))
    for beginning in (None, cache):
        with pytest.raises(StoreError, match="is a cache, and a pool lets its cases go"):
            LiveSource(STAND_IN, "uniform:30:31", folder=cache.folder, cache=beginning)
    assert cache.names() == ["case-30"]


def test_a_pool_has_one_writer(tmp_path: Path) -> None:
    options = LiveOptions(capacity=4, first=2, niceness=0)
    with (
        LiveSource(STAND_IN, "uniform:30:31", options=options, folder=tmp_path / "pool"),
        pytest.raises(StoreError, match="another training fills this pool"),
    ):
        LiveSource(STAND_IN, "uniform:30:31", options=options, folder=tmp_path / "pool")


def test_a_pool_that_was_larger_loses_what_has_no_place(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "pool", StoreInfo.of(StandInGenerator()))
    larger = PoolWriter(store, 6)
    names = [add(larger, volume_ml) for volume_ml in (30, 40, 50, 60)]
    smaller = PoolWriter(store, 2)
    assert [one.name for one in smaller.cases] == names[:2]
    assert store.names() == sorted(names[:2])


def test_uses_are_those_of_the_case_that_has_the_slot(tmp_path: Path) -> None:
    state = SharedPoolState(tmp_path, 3, 4, create=True)
    state.give_slot(1, 7)
    state.count_use(1, 7)
    state.give_slot(1, 8)
    state.count_use(1, 7, 100)  # a reader that is late
    assert state.uses() == [0, 0, 0]
    state.count_use(1, 8)
    assert state.uses() == [0, 1, 0]


@pytest.mark.parametrize("content", ["{}", "5", "[]", '{"cases": [{"slot": 1}], "rejects": {}}', "{", ""])
def test_a_damaged_list_leaves_what_was_known(tmp_path: Path, content: str) -> None:
    writer = PoolWriter(Store.create(tmp_path / "pool", StoreInfo.of(StandInGenerator())), 4)
    name = add(writer, 30)
    reader = PoolReader(tmp_path / "pool", 4)
    assert [one.name for one in reader.cases()] == [name]
    (tmp_path / "pool" / "pool.json").write_text(content)
    assert [one.name for one in reader.cases()] == [name]
