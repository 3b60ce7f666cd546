"""The head: the labels with their gaps, or the object where little is labelled."""

from __future__ import annotations

import torch

from synthaug.warps.head import movable_head


def test_gaps_in_the_labels_belong_to_the_head_and_the_surroundings_do_not() -> None:
    label = torch.zeros(30, 30, 30, dtype=torch.long)
    label[6:24, 6:24, 6:24] = 1
    label[14:16, 14:16, 14:16] = 2
    label[11:13, 6:20, 8:20] = 0
    head = movable_head(label, torch.ones_like(label, dtype=torch.bool), torch.tensor([2]), 1.0)
    expected = torch.zeros_like(head)
    expected[6:24, 6:24, 6:24] = True
    assert torch.equal(head, expected)


def test_a_structure_labelled_alone_moves_within_the_foreground() -> None:
    label = torch.zeros(30, 30, 30, dtype=torch.long)
    label[12:18, 12:18, 12:18] = 1
    foreground = torch.zeros_like(label, dtype=torch.bool)
    foreground[4:26, 4:26, 4:26] = True
    assert torch.equal(movable_head(label, foreground, torch.tensor([1]), 1.0), foreground)


def test_the_edge_of_the_grid_is_no_part_of_the_head() -> None:
    label = torch.ones(12, 12, 12, dtype=torch.long)
    label[5:7, 5:7, 5:7] = 2
    head = movable_head(label, label > 0, torch.tensor([2]), 1.0)
    assert int(head.sum()) == 10**3
