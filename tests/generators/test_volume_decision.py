"""The last decision moves borders, by as little as will do, and no further than allowed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthaug.generators import volume_decision
from synthaug.generators.volume_decision import decide_labels, reach_of_one_piece

SIZE = 40


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    """Background 0, and two balls, 1 and 2, whose logits fall with the distance from their centres by 1 a voxel."""
    axis = torch.arange(SIZE).float()
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    jitter = 0.01 * torch.rand(SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    balls = [6 - ((x - centre) ** 2 + (y - 20) ** 2 + (z - 20) ** 2).sqrt() + jitter for centre in (10, 28)]
    return torch.stack([torch.zeros_like(balls[0]), *balls])


def count(label: torch.Tensor, *ids: int) -> int:
    return int(torch.isin(label, torch.tensor(ids)).sum())


def test_without_a_volume_asked_for_the_most_probable_label_is_taken(logits: torch.Tensor) -> None:
    assert torch.equal(decide_labels(logits, {}, largest_shift=5.0), logits.argmax(0))
    assert torch.equal(decide_labels(logits, {(1,): 2000}, largest_shift=0.0), logits.argmax(0))


@pytest.mark.parametrize("voxels", [600, 904, 1400])
def test_a_structure_gets_the_voxels_asked_for_and_others_keep_theirs(logits: torch.Tensor, voxels: int) -> None:
    before, label = logits.argmax(0), decide_labels(logits, {(1,): voxels}, largest_shift=3.0)
    assert count(label, 1) == pytest.approx(voxels, abs=2)
    assert torch.equal(label == 2, before == 2)
    grown = torch.isin(label, torch.tensor([1])) | (before == 1)
    assert int(grown.sum()) == max(count(before, 1), count(label, 1))  # one lies within the other


def test_a_border_moves_no_further_than_allowed(logits: torch.Tensor) -> None:
    label = decide_labels(logits, {(1,): 30_000}, largest_shift=1.0)
    radius = (torch.nonzero(label == 1).float() - torch.tensor([10.0, 20.0, 20.0])).norm(dim=1).max()
    assert float(radius) == pytest.approx(7.0, abs=0.1)
    assert count(decide_labels(logits, {(1,): 0}, largest_shift=1.0), 1) > 400


def test_a_group_and_one_of_its_members_are_settled_together(logits: torch.Tensor) -> None:
    label = decide_labels(logits, {(1, 2): 2400, (1,): 1000}, largest_shift=4.0)
    assert count(label, 1) == pytest.approx(1000, rel=0.01)
    assert count(label, 1, 2) == pytest.approx(2400, rel=0.01)


def test_what_is_not_looked_at_could_not_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 6 * torch.randn(4, 12, 12, 12, generator=generator)
    voxels = {(1, 2): 900, (1,): 200, (3,): 500}
    found = decide_labels(logits, voxels, largest_shift=2.0)
    everywhere = torch.ones(12, 12, 12, dtype=torch.bool)
    monkeypatch.setattr(volume_decision, "movable", lambda *arguments: everywhere)
    assert torch.equal(decide_labels(logits, voxels, largest_shift=2.0), found)
    assert not torch.equal(found, logits.argmax(0))


def test_a_structure_of_one_piece_reaches_no_further_than_its_main_piece() -> None:
    inside = np.zeros((30, 30, 30), bool)
    inside[5:12, 5:12, 5:12] = True
    inside[20:22, 20:22, 20:22] = True
    reach = reach_of_one_piece(inside)
    assert reach[5:12, 5:12, 5:12].all()
    assert reach[4, 8, 8]
    assert not reach[20:22, 20:22, 20:22].any()
    assert reach_of_one_piece(np.zeros_like(inside)).all()


def test_tips_that_lie_apart_stay_the_largest_first_up_to_their_share() -> None:
    inside = np.zeros((40, 40, 40), bool)
    inside[5:15, 5:15, 5:15] = True  # 1,000 voxels, of which 18 may lie apart
    tip, next_one, speck = np.s_[25:27, 25:27, 25:28], np.s_[30, 30, 30:37], np.s_[35, 35, 35]
    inside[tip] = inside[speck] = True
    reach = reach_of_one_piece(inside)
    assert reach[tip].all()
    assert reach[speck]
    assert not reach[24, 25, 25]  # where it may not grow
    inside[next_one] = True
    reach = reach_of_one_piece(inside)
    assert reach[tip].all()
    assert not reach[next_one].any()
    assert not reach[speck]


def test_what_shares_a_corner_is_of_one_piece() -> None:
    inside = np.zeros((20, 20, 20), bool)
    inside[2:8, 2:8, 2:8] = inside[8:13, 8:13, 8:13] = True
    assert reach_of_one_piece(inside)[inside].all()
