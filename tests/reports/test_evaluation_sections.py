"""Sections of an evaluation say what was measured, on how many, and what cannot be known."""

from __future__ import annotations

import numpy as np

from synthaug.evaluation.alignment import AlignedCase, AlignmentReport
from synthaug.evaluation.control import ControlPoint, ControlReport
from synthaug.evaluation.volume_table import VolumeTable
from synthaug.labels import LabelScheme
from synthaug.reports.alignment_section import alignment_section
from synthaug.reports.evaluation_sections import control_section, volumes_section
from synthaug.reports.page import Section

SIDES = LabelScheme.from_nnunet(
    {"labels": {"background": 0, "lateral_ventricle_left": 1, "lateral_ventricle_right": 2}}, name="sides"
)


def text_of(section: Section) -> str:
    return "\n".join(section.to_markdown())


def control(requested: list[float], realised: list[float]) -> Section:
    points = [ControlPoint(f"{i:03d}", x, y) for i, (x, y) in enumerate(zip(requested, realised, strict=True))]
    return control_section(ControlReport("ventricles", tuple(points)).to_dict(), (), unfiltered=True)


def test_control_figures_have_intervals_where_there_are_enough_pairs() -> None:
    requested = np.linspace(10, 80, 12)
    many = text_of(control(requested.tolist(), (1.1 * requested).tolist()))
    assert "| mean absolute error | 10.00 % | 10.00 to 10.00 | 12 |" in many
    assert "12 pairs, 10.0 to 80.0 mL of ventricles asked for. They were made once each, and none was left out." in many
    few = text_of(control([10, 40], [10, 44]))
    assert "| mean absolute error | 5.00 % | too few | 2 |" in few


def test_the_list_of_pairs_is_folded_and_begins_with_the_largest_error() -> None:
    section = control([40, 10], [44, 10])
    (pairs,) = (table for table in section.tables if table.folded)
    assert [row[:4] for row in pairs.rows] == [("000", "40.00", "44.00", "+10.00"), ("001", "10.00", "10.00", "+0.00")]
    assert "| 000 |" not in text_of(section)


def test_volumes_of_generated_and_real_stand_side_by_side() -> None:
    text = text_of(volumes_section(VolumeTable([{"a": 1.0}, {"a": 3.0}], [{"a": 4.0}]).to_dict()))
    assert "| a | 2.00 ± 1.41 | too few | 1.00 to 3.00 | 2 | 4.00 ± 0.00 | too few | 4.00 to 4.00 | 1 |" in text


def alignment(real: list[AlignedCase], notes: list[str]) -> str:
    model = {"title": "a model", "weights": {"file.pth": "0" * 64}, "notes": notes}
    pair = AlignedCase("one", {"lateral_ventricle_left": 0.5, "lateral_ventricle_right": None}, 10, 10)
    return text_of(alignment_section(AlignmentReport(model, SIDES, "ventricles", [pair], real).to_dict(), ()))


def test_alignment_says_what_cannot_be_known() -> None:
    real = AlignedCase("real", {"lateral_ventricle_left": 0.8, "lateral_ventricle_right": None}, 12, 12)
    text = alignment([real], ["assumed"])
    assert "## Alignment by a model" in text
    assert "cannot be known" in text
    assert "\nAssumed.\n" in text
    assert "| lateral_ventricle_left | 0.500 | too few | 0.800 | too few | 0.625 | too few |" in text
    assert "| from 10.0 | 1 | 0.500 | +0.0 % | 1 | 0.800 | +0.0 % | 0.625 | too few |" in text


def test_alignment_without_real_cases_says_what_is_missing() -> None:
    text = alignment([], [])
    assert "No real cases with an image were given" in text
    assert "cannot be known" not in text
