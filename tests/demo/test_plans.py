"""Plans made small for a CPU."""

from __future__ import annotations

import json
from pathlib import Path

from synthaug.demo.plans import halve_features


def test_features_are_halved_once_and_nothing_else_changes(tmp_path: Path) -> None:
    planned = {"patch_size": [48, 56, 48], "architecture": {"arch_kwargs": {"features_per_stage": [32, 64]}}}
    plans = tmp_path / "nnUNetPlans.json"
    plans.write_text(json.dumps({"configurations": {"3d_fullres": planned, "2d": planned}}))
    assert halve_features(plans) == [16, 32]
    assert halve_features(plans) == [16, 32]
    written = json.loads(plans.read_text())["configurations"]
    assert written["3d_fullres"]["patch_size"] == [48, 56, 48]
    assert written["2d"] == planned
