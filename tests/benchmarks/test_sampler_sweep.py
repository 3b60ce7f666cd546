"""The sweep changes what it says, and its table tells the errors apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import sampler_sweep
from tests.generators.tiny_guided_ldm import write_tiny_generator


def test_rows_are_measured_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, path = write_tiny_generator(tmp_path / "weights"), tmp_path / "sweep.json"
    rows = ["--row", "as shipped", "--row", "4 steps"]
    assert sampler_sweep.main(["--generator", str(weights), "--num", "2", "--json", str(path), *rows]) == 0
    table = capsys.readouterr().out
    assert "| as shipped |" in table
    written = json.loads(path.read_text())
    assert set(written) == {"as shipped", "4 steps"}
    for row in written.values():
        assert row["mean_error"] >= 0
        assert 0 <= row["faulty"] <= 1
        assert row["out_of_range"] is None
        assert row["seconds"] > 0


def test_every_row_is_a_setting_that_the_sampler_knows(tmp_path: Path) -> None:
    weights = write_tiny_generator(tmp_path / "weights")
    from synthaug.generators.guided_ldm import GuidedLDM

    for changes in sampler_sweep.ROWS.values():
        assert GuidedLDM.load(weights, device="cpu", **changes).config.sampling
