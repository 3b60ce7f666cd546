"""Dice overlap: of two masks, and of a case as one figure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice overlap of two boolean masks of one shape; 0 where one of them is empty, NaN where both are."""
    sizes = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / sizes if sizes else float("nan")


def mean_dice(dice: Mapping[str, float | None]) -> float | None:
    """Mean over the structures whose Dice is known; None where there is none."""
    known = [one for one in dice.values() if one is not None]
    return float(np.mean(known)) if known else None
