"""Dice of a case as one figure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def mean_dice(dice: Mapping[str, float | None]) -> float | None:
    """Mean over the structures whose Dice is known; None where there is none."""
    known = [one for one in dice.values() if one is not None]
    return float(np.mean(known)) if known else None
