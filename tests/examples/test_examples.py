"""The examples run as they stand, here with the stand-in generator for the sake of speed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_example(script: str, *arguments: str) -> str:
    """What the script prints."""
    command = [sys.executable, str(ROOT / "examples" / script), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [*command, "--generator", "python:tests.stand_in_generator:make"],
        capture_output=True, text=True, check=False, env=environment, cwd=ROOT,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-2000:]
    return finished.stdout


@pytest.mark.slow
def test_monai_training_mixes_and_validates_on_held_out_cases() -> None:
    printed = run_example("monai_training.py", "--steps", "5", "--num", "2")
    assert "of 3 items of the first epoch are synthetic" in printed
    assert "step 5/5" in printed
    assert "mean Dice of 1 held-out case(s)" in printed


@pytest.mark.slow
def test_plain_torch_takes_a_generator() -> None:
    printed = run_example("plain_torch.py", "--steps", "5", "--distinct", "1")
    assert "step 5/5" in printed
    assert "no figure below says anything about patients" in printed
