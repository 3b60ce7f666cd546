"""Overlap and volumes of a segmentation."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.labels import LabelScheme, Structure
from synthaug.study.tested_case import TestedCase

SCHEME = LabelScheme(
    "s", (Structure("left", 1), Structure("right", 2), Structure("rest", 3)), {"ventricles": ("left", "right")}
)


def compared(label: list[int], found: list[int]) -> TestedCase:
    one, other = (np.array(ids).reshape(-1, 1, 1) for ids in (label, found))
    names = ("left", "right", "rest", "ventricles")
    return TestedCase.of("a", one, other, SCHEME, voxel_volume_ml=0.5, structures=names, structure="ventricles")


def test_overlap_and_volumes_by_hand() -> None:
    found = compared([1, 1, 1, 2, 0, 0], [1, 1, 2, 2, 2, 0])
    assert found.dice["left"] == pytest.approx(2 * 2 / 5)
    assert found.dice["right"] == pytest.approx(2 * 1 / 4)
    assert found.dice["ventricles"] == pytest.approx(2 * 4 / 9)  # sides do not matter to a group
    assert (found.volume_ml, found.predicted_ml, found.error_ml) == (2.0, 2.5, 0.5)


def test_a_structure_that_neither_has_does_not_count_and_one_that_is_made_up_does() -> None:
    found = compared([1, 2, 0], [1, 2, 0])
    assert found.dice["rest"] is None
    assert found.mean_dice == 1.0
    made_up = compared([1, 2, 0], [1, 2, 3])
    assert made_up.dice["rest"] == 0
    assert made_up.mean_dice == pytest.approx(3 / 4)
    assert TestedCase.from_dict(found.to_dict()) == found
