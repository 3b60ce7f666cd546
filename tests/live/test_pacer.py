"""Work takes no more than its share of the time, and a rest ends when the process is to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.live import pacer
from synthaug.live.shared_pool_state import SharedPoolState


class Clock:
    """Time that passes when somebody works or sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacer, "time", clock)
    return clock


@pytest.mark.parametrize("duty", [0.05, 0.5, 1.0])
def test_work_takes_its_share(clock: Clock, tmp_path: Path, duty: float) -> None:
    state = SharedPoolState(tmp_path, 1, 1, create=True)
    paced = pacer.Pacer(duty, state)
    for work_s in (0.01, 0.02, 1.0, 0.3, 4.0):
        clock.now += work_s
        paced.rest()
    assert 1 - clock.slept / clock.now == pytest.approx(duty, rel=0.02)
    assert state.busy_s / clock.now == pytest.approx(duty, rel=0.02)  # what the metrics call duty


def test_a_rest_ends_with_the_training(clock: Clock, tmp_path: Path) -> None:
    state = SharedPoolState(tmp_path, 1, 1, create=True)
    paced = pacer.Pacer(0.001, state)
    clock.now += 10
    state.end()
    paced.rest()
    assert clock.slept == 0
