"""A short form of ``benchmarks/live_chaos.py``: one training for each thing that goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import live_chaos

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes and pools in /proc and /dev/shm")


@pytest.mark.parametrize("kind", live_chaos.KINDS)
def test_a_training_survives(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHAUG_CHAOS_SECONDS", "9")
    facts, wrong = live_chaos.run_once(kind, 1, tmp_path / "run")
    assert wrong == [], f"{facts} {(tmp_path / 'run' / 'log').read_text()[-2000:]}"
