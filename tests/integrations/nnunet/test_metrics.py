"""The lines that an epoch leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from synthaug.integrations.nnunet.metrics import EpochMetrics, MetricsLog
from synthaug.integrations.nnunet.shared_state import DrawCounts
from synthaug.schedules import parse_mix, parse_schedule

VOLUMES_ML = np.array([10.0, 20.0, 30.0, 40.0])


def counts(*cases: int, real: int = 0, empty: int = 0) -> DrawCounts:
    return DrawCounts(np.array(cases, np.int64), real, empty, 0)


def test_an_epoch_is_described() -> None:
    schedule = parse_schedule("uniform:10:40")
    metrics = EpochMetrics(VOLUMES_ML, "ventricles", schedule, parse_mix("mixed-then-real:0.75:0.5"))
    entry = metrics.describe(3, 0.25, counts(3, 0, 0, 1, real=4, empty=1), counts(3, 1, 0, 5))
    assert (entry["draws"], entry["synthetic"], entry["real"]) == (8, 4, 4)
    assert (entry["ratio"], entry["realised_ratio"]) == (0.75, 0.5)
    assert entry["fallbacks"] == {"empty": 1, "unreadable": 0}
    assert entry["unique"] == 2
    assert entry["reuse"]["p50"] == 3
    volumes = entry["volumes_ml"]
    assert volumes["drawn"] == [3, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert volumes["scheduled_share"] == pytest.approx([0.1] * 10)
    assert (volumes["min"], volumes["median"], volumes["max"]) == (10, 10, 40)
    assert volumes["ks_distance"] == pytest.approx(0.75)
    json.dumps(entry)


def test_an_epoch_without_draws_is_described() -> None:
    entry = EpochMetrics(VOLUMES_ML, "ventricles", None, parse_mix(0.5)).describe(0, 0.0, counts(0, 0, 0, 0), counts(0))
    assert entry["realised_ratio"] is None
    assert entry["volumes_ml"]["scheduled_share"] == pytest.approx([0.25, 0, 0, 0.25, 0, 0, 0.25, 0, 0, 0.25])


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
