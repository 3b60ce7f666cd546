"""A short form of the benchmark of a large cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import store_scale


def test_a_cache_is_filled_opened_and_drawn_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # how long things take is the benchmark's matter, on a machine that does nothing else
    monkeypatch.setattr(store_scale, "LIMITS", {"memory_mb": 300.0})
    arguments = ["--cases", "300", "--processes", "2", "--repeats", "1", "--work", str(tmp_path)]
    assert store_scale.main(arguments) == 0
    told = capsys.readouterr().out
    assert told.count("cases 300") == 3
    assert "from the records alone" in told
    monkeypatch.setattr(store_scale, "LIMITS", {"memory_mb": 1.0})
    assert store_scale.main(arguments) == 1
