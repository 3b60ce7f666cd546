"""What the shell offers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.cli import completion


def offered(line: str) -> list[str]:
    """What bash is told for the last word of a command line."""
    environment = {
        **os.environ,
        "_SYNTHAUG_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    command = [sys.executable, "-m", "synthaug"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("synthaug pre", ["precompute"]),
        ("synthaug cache ver", ["verify"]),
        ("synthaug sample --generator ventricles", ["ventricles-t1-1mm"]),
        ("synthaug fit 501 --generator med", ["medgen3d"]),
        ("synthaug precompute --sched", ["--schedule"]),
    ],
)
def test_bash_is_told_commands_options_and_names(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_shipped_mappings_and_schemes_are_offered() -> None:
    assert completion.complete_mapping("free") == ["freesurfer-to-ventricles-t1"]
    assert "ventricles-t1" in completion.complete_scheme("")


def test_datasets_are_offered_by_number_or_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Dataset007_Heart").mkdir()
    (tmp_path / "Dataset501_Malf").mkdir()
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    monkeypatch.setenv("nnUNet_preprocessed", "")
    assert completion.complete_dataset("") == ["501", "7"]
    assert completion.complete_dataset("Dataset5") == ["Dataset501_Malf"]


def test_without_folders_no_dataset_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    assert completion.complete_dataset("") == []
