"""Faces are those that a count voxel by voxel finds."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from synthaug.anatomy.faces import contact_shares, count_faces


def test_faces_are_those_between_neighbours_of_different_labels() -> None:
    label = np.random.default_rng(0).integers(0, 4, (5, 6, 7))
    expected = np.zeros((4, 4), int)
    for place in itertools.product(*map(range, label.shape)):
        for step in np.eye(3, dtype=int):
            other = tuple(np.add(place, step))
            if all(np.less(other, label.shape)) and label[place] != label[other]:
                expected[label[place], label[other]] += 1
                expected[label[other], label[place]] += 1
    assert np.array_equal(count_faces(torch.from_numpy(label), 4).numpy(), expected)


def test_shares_add_up_for_labels_with_a_border_and_are_zero_for_others() -> None:
    label = torch.zeros(4, 4, 4, dtype=torch.uint8)
    label[1, 1, 1], label[1, 1, 2] = 1, 2
    shares = contact_shares(count_faces(label, 4))
    assert shares.sum(1).tolist() == [1, 1, 1, 0]
    assert float(shares[1, 2]) == 1 / 6
