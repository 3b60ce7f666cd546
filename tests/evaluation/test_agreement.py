"""Agreement is told by ventricle size, as a share of what the network reaches on real cases."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.evaluation.agreement import Agreement, AgreementReport
from synthaug.labels import LabelScheme

SCHEME = LabelScheme.load("ventricles-t1")


def test_the_overlap_is_that_of_the_lateral_ventricles() -> None:
    label = np.zeros((20, 20, 20), dtype=np.int16)
    left, right, third = (
        SCHEME.id_of(name) for name in ("lateral_ventricle_left", "lateral_ventricle_right", "third_ventricle")
    )
    label[2:6, 2:12, 2:12] = left
    label[12:16, 2:12, 2:12] = right
    label[8:10, 2:12, 2:12] = third
    found = label.copy()
    found[found == third] = 0
    found[2:4] = 0  # half of the left one is missed: 2 * 200 / 600
    one = Agreement.of("case", label, found, SCHEME, 0.01)
    assert one.dice == pytest.approx((2 / 3 + 1) / 2)
    assert one.volume_ml == pytest.approx(10.0)


def test_sizes_are_told_apart_and_compared_with_real_cases_of_their_size() -> None:
    real = [Agreement("a", 10, 0.8), Agreement("b", 70, 0.9)]
    samples = [Agreement("x", 12, 0.72), Agreement("y", 30, 0.85), Agreement("z", 80, 0.45), Agreement("w", 90, 0.63)]
    report = AgreementReport(real, samples)
    facts = report.to_dict()
    sizes = facts["sizes"]
    assert sizes["small"]["share"] == pytest.approx(0.9)
    assert sizes["large"] == {
        "real_cases": 1, "real_dice": 0.9, "samples": 2, "sample_dice": pytest.approx(0.54), "share": pytest.approx(0.6)
    }  # fmt: skip
    assert sizes["middle"]["share"] == pytest.approx(1.0)  # no real case of that size: all of them, 0.85
    assert sizes["all"]["share"] == pytest.approx((0.72 + 0.85 + 0.45 + 0.63) / 4 / 0.85)
    assert [one["name"] for one in facts["worst"]] == ["z", "w", "x", "y"]
    assert "| large | 1, 0.900 | 2, 0.540 | 0.600 |" in report.to_markdown()


def test_a_size_without_samples_has_no_share() -> None:
    facts = AgreementReport([Agreement("a", 10, 0.8)], [Agreement("x", 12, 0.4)]).to_dict()
    assert facts["sizes"]["large"]["share"] is None
    assert facts["sizes"]["large"]["samples"] == 0
