"""Volumes and contacts by the names of the structures."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.anatomy import StructureMeasures
from synthaug.labels import LabelScheme, Structure

SCHEME = LabelScheme("blocks", (Structure("low", 3), Structure("high", 40), Structure("none", 7)))


def test_a_block_on_a_block() -> None:
    label = np.zeros((8, 8, 8), np.int16)
    label[2:6, 2:6, 2:4], label[2:6, 2:6, 4:6] = 3, 40
    found = StructureMeasures.of(label, SCHEME, 0.5)
    assert found.volumes_ml == {"low": 16.0, "high": 16.0, "none": 0.0}
    assert found.missing == ("none",)
    assert found.contacts["low", "high"] == pytest.approx(16 / 64)
    assert found.contacts["high", "background"] == pytest.approx(48 / 64)
    assert found.contacts["none", "low"] == 0


def test_ids_of_no_structure_are_background() -> None:
    label = np.full((6, 6, 6), 99, np.int16)
    label[1:5, 1:5, 1:5] = 40
    assert StructureMeasures.of(label, SCHEME, 1.0).contacts["high", "background"] == 1
