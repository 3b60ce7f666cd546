"""The warp that takes a structure to a volume: what is aimed at is not what the voxels of a case then hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

REFINEMENTS = 8


@dataclass(frozen=True)
class WarpedLabel:
    """A label map that was warped.

    Attributes:
        label: ``(X, Y, Z)``, in the array order of the case.
        field: the pull field that it was taken through, ``(1, 3, X, Y, Z)`` voxels.
        volume_ml: what the structure has then, in mL.
    """

    label: torch.Tensor
    field: torch.Tensor
    volume_ml: float


def nearest_warp(warped_for: Callable[[float], WarpedLabel], target_ml: float, close_ml: float) -> WarpedLabel:
    """The warp whose realised volume is nearest to a target, of up to `REFINEMENTS`.

    Args:
        warped_for: the warp that aims at a volume in mL; what it realises on the voxels of the case is a little off.
        target_ml: volume to realise.
        close_ml: the search ends at an error of so many mL.

    Returns:
        The one with the least error; of equal ones the first.
    """
    aim_ml = target_ml
    best = found = warped_for(aim_ml)
    below: tuple[float, float] | None = None
    above: tuple[float, float] | None = None
    for _ in range(REFINEMENTS - 1):
        if abs(found.volume_ml - target_ml) <= close_ml:
            break
        if found.volume_ml < target_ml:
            below = (aim_ml, max(found.volume_ml, 1e-3))
        else:
            above = (aim_ml, found.volume_ml)
        aim_ml = _next_aim(target_ml, below, above)
        found = warped_for(aim_ml)
        best = min(best, found, key=lambda one: abs(one.volume_ml - target_ml))
    return best


def _next_aim(target_ml: float, below: tuple[float, float] | None, above: tuple[float, float] | None) -> float:
    """Volume to search for next, from the last (aim, volume) on either side: on coarse voxels the two are not equal."""
    if below is None or above is None:
        aim_ml, volume_ml = below or above or (target_ml, target_ml)
        return aim_ml * target_ml / volume_ml
    share = np.log(target_ml / below[1]) / np.log(above[1] / below[1])
    # not nearer to an end than a tenth: where volumes jump, the ends would creep
    return float(below[0] * (above[0] / below[0]) ** min(max(share, 0.1), 0.9))
