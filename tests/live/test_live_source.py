"""A live source fills, follows a moving schedule, survives its generator, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from synthaug import SynthAugment
from synthaug.live import LiveOptions, LiveSource
from synthaug.store import Store

STAND_IN = "python:tests.stand_in_generator:make"


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_cases_come_are_drawn_and_nothing_is_left(tmp_path: Path) -> None:
    source = LiveSource(STAND_IN, "uniform:20:60", options=LiveOptions(capacity=6, most_uses=3, first=2, niceness=0))
    folder = source.folder
    with source:
        wait_for(lambda: len(source) == 6)
        volumes = set()
        for index in range(200):
            draw = source.draw(index, seed=0, epoch=0)
            pair = draw.read() if draw is not None else None
            if draw is not None and pair is not None:
                volumes.add(round(draw.volumes_ml["ventricles"], 3))
                assert pair.volumes_ml()["ventricles"] == pytest.approx(draw.volumes_ml["ventricles"])
            time.sleep(0.01)
        assert len(volumes) > 6  # worn cases made room for new ones
        assert source.stats()["inserted"] > 6
        assert len(source) <= 6
        process = source.supervisor.process_id
        assert process is not None
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_training_that_goes_on_gets_other_pairs_than_it_began_with(tmp_path: Path) -> None:
    names = []
    for epoch in (0, 5):
        options = LiveOptions(capacity=6, first=6, niceness=0)
        source = LiveSource(STAND_IN, "constant:40", options=options, folder=tmp_path / str(epoch), epochs=10, seed=3)
        source.set_epoch(epoch)
        with source:
            names.append(set(Store.open(source.folder).names()))
    assert min(map(len, names)) >= 6
    assert not names[0] & names[1]


def test_a_killed_generator_is_replaced(tmp_path: Path) -> None:
    options = LiveOptions(capacity=50, first=1, niceness=0)
    with LiveSource(STAND_IN, "uniform:20:60", options=options, folder=tmp_path / "pool") as source:
        supervisor = source.supervisor
        assert supervisor.process_id is not None
        os.kill(supervisor.process_id, signal.SIGKILL)
        before = source.state.inserted
        wait_for(lambda: supervisor.restarts == 1)
        wait_for(lambda: source.state.inserted > before)
    assert (tmp_path / "pool").is_dir()
    assert not list((tmp_path / "pool").rglob("*.tmp"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_with_workers_is_fed(workers: int) -> None:
    source = LiveSource(
        STAND_IN,
        "uniform:20:60",
        options=LiveOptions(capacity=12, first=12, niceness=0, most_uses=50),
    )
    real = [{"image": torch.zeros(1, 32, 32, 32), "label": torch.zeros(1, 32, 32, 32)} for _ in range(24)]
    data = SynthAugment(real, source, ratio=0.5, epochs=3)
    loader = DataLoader(data, batch_size=4, num_workers=workers, persistent_workers=workers > 0)
    with data:
        shares = []
        for epoch in range(3):
            data.set_epoch(epoch)
            made = [bool(one) for batch in loader for one in batch["synthaug"]["synthetic"]]
            shares.append(sum(made) / len(made))
    assert 0.2 < sum(shares) / 3 <= 0.5  # what the pool lacked were real cases, and they were counted
    assert data.place.fallbacks == round(sum((0.5 - share) * 24 for share in shares))
