"""The label encoder sees every voxel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.networks.label_encoder import LabelEncoder

SHAPE = (8, 12, 8)
CLASSES = 6


@pytest.mark.parametrize("factor", [2, 4])
def test_the_output_is_factor_times_coarser(factor: int) -> None:
    encoder = LabelEncoder(CLASSES, factor=factor, embedding_channels=3, out_channels=7)
    encoded = encoder(torch.zeros(2, *SHAPE, dtype=torch.long))
    assert encoded.shape == (2, 7, *[size // factor for size in SHAPE])


@settings(max_examples=40, deadline=None)
@given(
    place=st.tuples(*[st.integers(0, size - 1) for size in SHAPE]),
    label=st.integers(0, CLASSES - 1),
    other=st.integers(0, CLASSES - 1),
    factor=st.sampled_from([2, 4]),
)
def test_label_maps_that_differ_in_one_voxel_differ_in_its_block_and_nowhere_else(
    place: tuple[int, int, int], label: int, other: int, factor: int
) -> None:
    torch.manual_seed(0)
    encoder = LabelEncoder(CLASSES, factor=factor, embedding_channels=3, out_channels=16)
    first = torch.full((1, *SHAPE), label)
    second = first.clone()
    second[(0, *place)] = other
    changed = (encoder(first) != encoder(second)).any(dim=1)[0]
    expected = torch.zeros_like(changed)
    if label != other:
        expected[tuple(index // factor for index in place)] = True
    assert torch.equal(changed, expected)
