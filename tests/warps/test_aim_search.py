"""The search for the aim whose warp realises a volume."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from synthaug.warps.aim_search import REFINEMENTS, WarpedLabel, nearest_warp


def realising(volume_of: Callable[[float], float], aims: list[float]) -> Callable[[float], WarpedLabel]:
    def warped_for(aim_ml: float) -> WarpedLabel:
        aims.append(aim_ml)
        return WarpedLabel(torch.zeros(1), torch.zeros(1), volume_of(aim_ml))

    return warped_for


@pytest.mark.parametrize("volume_of", [lambda aim: 0.7 * aim, lambda aim: 1.4 * aim - 3, lambda aim: aim**1.2])
def test_a_volume_that_is_missed_by_a_smooth_share_is_found(volume_of: Callable[[float], float]) -> None:
    aims: list[float] = []
    assert nearest_warp(realising(volume_of, aims), 40.0, 0.2).volume_ml == pytest.approx(40.0, abs=0.2)
    assert 1 < len(aims) < REFINEMENTS


def test_the_first_warp_is_kept_where_it_is_close() -> None:
    aims: list[float] = []
    assert nearest_warp(realising(lambda aim: aim + 0.1, aims), 40.0, 0.2).volume_ml == 40.1
    assert aims == [40.0]


def test_where_volumes_jump_over_the_target_the_nearest_is_given() -> None:
    aims: list[float] = []
    found = nearest_warp(realising(lambda aim: 30.0 if aim < 42 else 45.0, aims), 40.0, 0.2)
    assert found.volume_ml == 45.0
    assert len(aims) == REFINEMENTS
