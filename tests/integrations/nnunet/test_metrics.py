"""The lines that an epoch leaves."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from synthaug.integrations.nnunet.metrics import EpochMetrics, LoaderWait, MetricsLog
from synthaug.integrations.nnunet.shared_state import DrawCounts, DrawnCases
from synthaug.schedules import parse_mix, parse_schedule

VOLUMES_ML = np.array([10.0, 20.0, 30.0, 40.0])


def drawn(*cases: int, born: int = -1) -> DrawnCases:
    return DrawnCases(np.array(cases, np.int64), VOLUMES_ML[list(cases)], np.full(len(cases), born, np.int64))


def test_an_epoch_is_described() -> None:
    schedule = parse_schedule("uniform:10:40")
    metrics = EpochMetrics(VOLUMES_ML, "ventricles", schedule, parse_mix("mixed-then-real:0.75:0.5"))
    metrics.describe(2, 0.2, DrawCounts(6, 0, 0, 0), drawn(1, 3, 3, 3, 3, 0))
    entry = metrics.describe(3, 0.25, DrawCounts(4, 4, 1, 0), drawn(0, 0, 3, 0))
    assert (entry["draws"], entry["synthetic"], entry["real"]) == (8, 4, 4)
    assert (entry["ratio"], entry["realised_ratio"]) == (0.75, 0.5)
    assert entry["fallbacks"] == {"empty": 1, "unreadable": 0}
    assert (entry["unique"], entry["unique_fraction"]) == (2, 0.5)
    assert entry["reuse"]["p50"] == 4.5  # four times case 0, five times case 3, epochs before included
    assert entry["age"] is None
    volumes = entry["volumes_ml"]
    assert volumes["drawn"] == [3, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert volumes["scheduled_share"] == pytest.approx([0.1] * 10)
    assert (volumes["min"], volumes["median"], volumes["max"]) == (10, 10, 40)
    assert volumes["ks_distance"] == pytest.approx(0.75)
    json.dumps(entry)


def test_cases_made_meanwhile_have_an_age() -> None:
    metrics = EpochMetrics(np.array([10.0, 40.0]), "ventricles", parse_schedule("uniform:10:40"), parse_mix(0.5))
    entry = metrics.describe(7, 0.5, DrawCounts(3, 0, 0, 0), drawn(0, 1, 2, born=5))
    assert entry["age"] == {"p50": 2.0, "p95": 2.0}


def test_an_epoch_without_draws_is_described() -> None:
    entry = EpochMetrics(VOLUMES_ML, "ventricles", None, parse_mix(0.5)).describe(
        0, 0.0, DrawCounts(0, 0, 0, 0), drawn()
    )
    assert entry["realised_ratio"] is None
    assert entry["unique_fraction"] is None
    assert entry["volumes_ml"]["scheduled_share"] == pytest.approx([0.25, 0, 0, 0.25, 0, 0, 0.25, 0, 0, 0.25])


def test_waiting_is_what_lies_between_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.5, 20.0, 20.25])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    wait = LoaderWait()
    wait.end()  # the first batch of an epoch
    for _ in range(2):
        wait.begin()
        wait.end()
    assert wait.seconds == 0.75
    wait.begin_epoch()
    wait.end()
    assert wait.seconds == 0


def test_a_continued_training_drops_the_epochs_that_it_trains_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    for epoch in range(4):
        log.write({"epoch": epoch})
    with open(path, "a") as file:
        file.write('{"epoch": 4, "dra')  # cut by a kill
    MetricsLog(path, 2).write({"epoch": 2, "again": True})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"epoch": 0}, {"epoch": 1}, {"epoch": 2, "again": True}]
    MetricsLog(path, 0)
    assert path.read_text() == ""
