"""Dice of predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthaug.demo.predictions import dice_by_name, prediction_inputs
from synthaug.generators.cases import CasePaths
from synthaug.labels import LabelScheme, Structure

SCHEME = LabelScheme("two", (Structure("left", 1), Structure("right", 2)), {"both": ("left", "right")})


def test_dice_of_structures_and_groups() -> None:
    truth = np.array([1, 1, 2, 2, 0, 0]).reshape(1, 1, 6)
    prediction = np.array([1, 2, 2, 2, 2, 0]).reshape(1, 1, 6)
    scores = dice_by_name(prediction, truth, SCHEME)
    assert scores["left"] == pytest.approx(2 * 1 / 3)
    assert scores["right"] == pytest.approx(2 * 2 / 6)
    assert scores["both"] == pytest.approx(2 * 4 / 9)


def test_a_structure_in_neither_has_no_dice() -> None:
    only_left = np.ones((2, 2, 2), int)
    assert "right" not in dice_by_name(only_left, only_left, SCHEME)


def test_inputs_are_named_as_nnunet_expects(tmp_path: Path) -> None:
    image = tmp_path / "any.nii.gz"
    image.write_bytes(b"image")
    inputs = prediction_inputs(tmp_path / "in", [CasePaths("case_7", (image, image), image)], ".nii.gz")
    assert sorted(path.name for path in inputs.iterdir()) == ["case_7_0000.nii.gz", "case_7_0001.nii.gz"]
    assert (inputs / "case_7_0001.nii.gz").read_bytes() == b"image"
