"""Whatever happens to the generating process, the training goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import ConfigurationError, StoreError
from synthaug.live import LiveOptions, LiveSource, supervisor
from synthaug.store import Store
from tests.live.faulty_generators import POISONED_ML
from tests.live.test_live_source import STAND_IN, wait_for

FAULTY = "python:tests.live.faulty_generators:"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_BACK_OFF_S", 0.05)


def test_a_volume_at_which_the_generator_dies_is_asked_for_no_more(tmp_path: Path) -> None:
    options = LiveOptions(capacity=8, first=0, niceness=0, most_failures=1, most_restarts=100)
    with LiveSource(FAULTY + "poisoned", "uniform:30:45", options=options, folder=tmp_path / "pool") as source:
        wait_for(lambda: len(source) == 8, 120)
        assert any(source.state.banned())
        assert all(one.volume_ml < POISONED_ML * 1.05 for one in source._reader.cases())
        assert not source.state.frozen


def test_a_generator_that_only_dies_freezes_the_pool_with_a_warning(tmp_path: Path) -> None:
    options = LiveOptions(first=0, niceness=0, most_restarts=1)
    source = LiveSource(FAULTY + "dying", "uniform:30:45", options=options, folder=tmp_path / "pool")
    with warnings.catch_warnings(record=True) as told, source:
        warnings.simplefilter("always")
        wait_for(lambda: bool(told))
        assert source.state.frozen
        assert not source._supervisor.alive  # type: ignore[union-attr]
        assert source.draw(0, seed=0, epoch=0) is None
    assert "the training goes on with those at hand" in str(told[0].message)


def test_a_training_does_not_begin_without_any_case(tmp_path: Path) -> None:
    options = LiveOptions(first=2, niceness=0, most_restarts=1)
    source = LiveSource(FAULTY + "failing", "uniform:30:45", options=options, folder=tmp_path / "pool")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(StoreError, match=r"0 of 2 first cases.*RuntimeError: the weights are of another planet"):
            source.start()
    assert not source.supervisor.alive
    with pytest.raises(ConfigurationError, match="was shut down"):
        source.start()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"device": "foo"}, "device 'foo'"),
        ({"seed": -1}, "seed is -1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"options": {"capacity": 8}}, "give LiveOptions"),
    ],
)
def test_wrong_arguments_are_told_at_once(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        LiveSource(STAND_IN, "uniform:30:45", **wrong)


def test_an_epoch_is_a_whole_number_and_progress_a_share(tmp_path: Path) -> None:
    source = LiveSource(STAND_IN, "uniform:30:45", folder=tmp_path / "pool")
    for epoch, progress in ((-5, None), (2.5, None), (1, 5), (1, float("nan"))):
        with pytest.raises(ConfigurationError):
            source.set_epoch(epoch, progress)  # type: ignore[arg-type]


UNGUARDED = """
from synthaug.live import LiveOptions, LiveSource
options = LiveOptions(first=1, most_restarts=1)
LiveSource("python:tests.stand_in_generator:make", "uniform:20:60", options=options).start()
"""


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(UNGUARDED)
    search_path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "train.py")],
        env={**os.environ, "PYTHONPATH": search_path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "put what trains under if __name__" in done.stderr


def test_a_generator_that_hangs_is_replaced(tmp_path: Path) -> None:
    options = LiveOptions(capacity=20, first=0, niceness=0, longest_silence_s=2.0)
    with LiveSource(FAULTY + "hanging", "uniform:30:45", options=options, folder=tmp_path / "pool") as source:
        wait_for(lambda: source.state.inserted >= 4)
        assert source._supervisor.restarts >= 1  # type: ignore[union-attr]
        assert "was silent" in source._supervisor.reasons[0]  # type: ignore[union-attr]


def test_damaged_and_missing_cases_are_never_served(tmp_path: Path) -> None:
    options = LiveOptions(capacity=4, first=4, niceness=0, most_uses=1000)
    with LiveSource(STAND_IN, "uniform:30:31", options=options, folder=tmp_path / "pool") as source:
        source._supervisor.shutdown()  # type: ignore[union-attr]
        cases = source._reader.cases()
        image = tmp_path / "pool" / "cases" / cases[0].name / "image.b2nd"
        image.write_bytes(image.read_bytes()[:-7])
        draws = [draw for index in range(60) if (draw := source.draw(index, seed=0, epoch=0)) is not None]
        shutil.rmtree(tmp_path / "pool" / "cases" / cases[1].name)
        gone = {one.name for one in cases[:2]}
        assert {draw.name for draw in draws} == {one.name for one in cases}
        assert all((draw.read() is None) == (draw.name in gone) for draw in draws)
        later = [draw for index in range(60) if (draw := source.draw(index, seed=0, epoch=1)) is not None]
        assert {draw.name for draw in later} == {one.name for one in cases[2:]}


def test_a_full_disk_leaves_the_pool_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthaug.conditions import Condition
    from synthaug.live import pool
    from synthaug.store import StoreInfo
    from tests.stand_in_generator import StandInGenerator

    generator = StandInGenerator()
    writer = pool.PoolWriter(Store.create(tmp_path / "pool", StoreInfo.of(generator)), 2)
    pairs = [generator.generate([Condition({"ventricles": 30.0})], [seed])[0] for seed in range(3)]
    for index, pair in enumerate(pairs[:2]):
        writer.add(f"{index:064x}", pair, None, 30.0, epoch=0, leave=None)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pool, "replace_file", refuse)
    before = writer.cases
    with pytest.raises(StoreError, match="No space left"):
        writer.add("f" * 64, pairs[2], None, 30.0, epoch=0, leave=before[0].name)
    monkeypatch.undo()
    assert writer.cases == before
    again = pool.PoolWriter(writer.store, 2)  # what was stored and not listed is gone
    assert sorted(again.store.names()) == sorted(one.name for one in before)
    assert not again.store.verify()


ORPHAN = """
import sys, time
from synthaug.live import LiveOptions, LiveSource
if __name__ == "__main__":
    source = LiveSource("python:tests.stand_in_generator:make", "uniform:20:60", options=LiveOptions(first=1)).start()
    print(source.supervisor.process_id, source.folder, flush=True)
    time.sleep(60)
"""


def test_the_generator_ends_with_a_training_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(ORPHAN)
    search_path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    training = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": search_path}
    )
    assert training.stdout is not None
    child, folder = training.stdout.readline().split()
    training.send_signal(signal.SIGKILL)
    training.wait()
    killed = time.monotonic()
    wait_for(
        lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2], 10
    )
    assert time.monotonic() - killed < 5
    wait_for(lambda: not Path(folder).exists(), 5)
