"""Dice of masks, and of a case."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.evaluation.dice import dice, mean_dice


def test_dice_of_two_empty_masks_is_no_number() -> None:
    empty, full = np.zeros((2, 2), bool), np.ones((2, 2), bool)
    assert np.isnan(dice(empty, empty))
    assert dice(full, full) == 1
    assert dice(full, empty) == 0


def test_the_mean_is_over_what_is_known() -> None:
    assert mean_dice({"a": 1.0, "b": None, "c": 0.5}) == pytest.approx(0.75)
    assert mean_dice({"a": None}) is None
