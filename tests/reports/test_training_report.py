"""The report of a training: counts of all processes, a table, a picture, and one line for what is no training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from synthaug.cli import app
from synthaug.errors import ConfigurationError
from synthaug.reports.training_report import TrainingReport
from tests.parsed_page import ParsedPage


def entry(epoch: int, synthetic: int, **more: Any) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "progress": epoch / 4,
        "draws": 10,
        "synthetic": synthetic,
        "real": 10 - synthetic,
        "ratio": 0.5,
        "realised_ratio": synthetic / 10,
        "fallbacks": {"empty": 1, "unreadable": 0},
        "unique": synthetic,
        "unique_fraction": 1.0,
        "reuse": {"p50": 1.0, "p95": 2.0},
        "age": {"p50": 0.0, "p95": 1.0},
        "volumes_ml": {
            "structure": "ventricles",
            "edges": [10.0, 20.0, 30.0],
            "drawn": [synthetic, 0],
            "scheduled_share": [0.5, 0.5],
            "min": 11.0,
            "median": 15.0,
            "max": 19.0,
            "ks_distance": 0.5,
        },
        "loader_wait_s": 0.25,
        "live": {"cases": 8, "inserts": 3, "given_up": 0, "rejects": {"small": 2}, "duty": 0.1, "restarts": 1,
                 "frozen": False},
        **more,
    }  # fmt: skip


def write(path: Path, *entries: dict[str, Any], cut: str = "") -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in entries) + cut)


def test_processes_of_a_group_are_added_up(tmp_path: Path) -> None:
    write(tmp_path / "synthaug_metrics.jsonl", entry(0, 4), entry(1, 5), cut='{"epoch": 2, "dra')
    write(tmp_path / "synthaug_metrics_rank1.jsonl", entry(0, 6))
    report = TrainingReport.read(tmp_path)
    first, second = report.epochs
    assert (first["draws"], first["synthetic"], first["realised_ratio"]) == (20, 10, 0.5)
    assert first["fallbacks"] == {"empty": 2, "unreadable": 0}
    assert first["volumes_ml"]["drawn"] == [10, 0]
    assert second["draws"] == 10
    text = report.to_markdown()
    assert "15 of 30 draws were synthetic, 3 real cases stood in" in text
    assert "6 pairs were made meanwhile, 4 times quality control gave a reason" in text


def test_the_command_writes_table_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    no_live = {key: value for key, value in entry(1, 0).items() if key not in ("live", "age", "loader_wait_s")}
    write(tmp_path / "synthaug_metrics.jsonl", entry(0, 4), no_live)
    assert app.run(["report", str(tmp_path), "--out", str(tmp_path / "shown")]) == 0
    assert "| 0 | 0.50 | 0.40 | 1 | 100% | 1 (2) | 0 (1) | 11 to 19 | 0.500 | 0.2 |" in capsys.readouterr().out
    assert (tmp_path / "shown" / "synthaug_report.md").is_file()
    assert (tmp_path / "shown" / "synthaug_report.png").read_bytes()[:4] == b"\x89PNG"


def test_the_page_holds_table_remarks_and_pictures_and_nnunets_curves_if_there_are_any(tmp_path: Path) -> None:
    run = tmp_path / "<script>alert(1)<"
    run.mkdir()
    write(run / "synthaug_metrics.jsonl", entry(0, 4), entry(1, 6))
    assert app.run(["report", str(run)]) == 0
    page = ParsedPage.checked((run / "synthaug_report.html").read_text())
    assert [picture.size for picture in page.pictures()] == [(1320, 924)]
    assert "10 of 20 draws were synthetic" in page.text
    assert "11 to 19" in page.text
    assert str(run) in page.text
    shutil.copy(run / "synthaug_report.png", run / "progress.png")
    assert app.run(["report", str(run)]) == 0
    page = ParsedPage.checked((run / "synthaug_report.html").read_text())
    assert len(page.pictures()) == 2
    assert "Losses and pseudo Dice, as nnU-Net draws them" in page.text


def test_a_folder_without_metrics_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no synthaug_metrics"):
        TrainingReport.read(tmp_path)
    (tmp_path / "synthaug_metrics.jsonl").touch()
    with pytest.raises(ConfigurationError, match="no finished epoch"):
        TrainingReport.read(tmp_path)


@pytest.mark.parametrize("line", ["5", "{}", "[1, 2]", '{"epoch": 1, "loss": 0.2}', '{"epoch": "a"}'])
def test_lines_of_something_else_are_one_clear_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{json.dumps(entry(0, 4))}\n{line}\n")
    with pytest.raises(ConfigurationError, match="line 2: is no entry"):
        TrainingReport.read(path)
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(ConfigurationError, match="no finished epoch"):
        TrainingReport.read(path)
