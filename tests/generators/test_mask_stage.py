"""Volumes that nobody asked for are those of real heads."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from synthaug.anatomy import NormalRange, Trend
from synthaug.conditions import Condition
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.generators.mask_stage import MaskStage
from synthaug.generators.volume_prior import VolumePrior
from tests.generators.tiny_guided_ldm import tiny_config, write_tiny_generator

PARTS = ("lateral_ventricle_left", "lateral_ventricle_right", "third_ventricle", "fourth_ventricle")
CONTROLS = ("ventricles", *PARTS)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """What is going to be settled, of each label map."""
    kept: list[dict[str, float]] = []
    settled = MaskStage._settled

    def remember(self: MaskStage, *arguments: dict[str, float]) -> dict[str, float]:
        kept.append(settled(self, *arguments))
        return kept[-1]

    monkeypatch.setattr(MaskStage, "_settled", remember)
    return kept


@pytest.mark.parametrize(("rounds", "usual"), [(2, True), (0, False)])
def test_what_is_not_asked_for_is_brought_into_range(
    tmp_path: Path, drawn: list[dict[str, float]], rounds: int, usual: bool
) -> None:
    spread = tuple(map(tuple, (0.5 * np.eye(5)).tolist()))
    config = tiny_config(
        limits_ml=dict.fromkeys(CONTROLS, (1.0, 150.0)),
        volume_prior=VolumePrior((3.4, 2.5, 2.5, 2.0, 2.0), spread),
        normal_range=NormalRange({name: Trend(0.0, math.log(8.0), 0.01) for name in PARTS}, {}),
    )
    generator = GuidedLDM.load(write_tiny_generator(tmp_path / "tiny", config), device="cpu", anatomy_rounds=rounds)
    generator.sample_labels([Condition({"ventricles": 30.0, "third_ventricle": 2.0})], [0])
    (found,) = drawn
    assert (found["ventricles"], found["third_ventricle"]) == (30.0, 2.0)
    others = [found[name] for name in PARTS if name != "third_ventricle"]
    assert (others == pytest.approx([8.0] * 3, rel=0.02)) == usual
