"""The mistakes that ``synthaug fit`` answers before any work begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.cli.app import run
from synthaug.cli.fit import parse_duration
from synthaug.errors import ConfigurationError


@pytest.mark.parametrize(("text", "seconds"), [("45m", 2700), ("2h", 7200), ("600s", 600), ("90", 90), ("1.5h", 5400)])
def test_durations_are_read_in_seconds_minutes_and_hours(text: str, seconds: float) -> None:
    assert parse_duration(text, "--budget") == seconds


@pytest.mark.parametrize("text", ["", "0m", "-5m", "soon", "5 days"])
def test_other_durations_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match="45m"):
        parse_duration(text, "--budget")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generator", "alpha"], "guided-ldm"),
        (["--budget", "soon"], "--budget 'soon'"),
        (["--settings", "missing.json"], "missing.json"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fit", "501", "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_an_unknown_setting_is_named_with_what_was_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"spacing": 1.0}', encoding="utf-8")
    assert run(["fit", "501", "--out", str(tmp_path / "out"), "--settings", str(settings)]) == 2
    assert "spacing_mm" in capsys.readouterr().err
