"""Fields: integrated, composed, resized, and applied to label maps and images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.warps.displacement import (
    compose,
    integrate,
    resize_field,
    sample_at,
    voxel_grid,
    warp_image,
    warp_labels,
)

SHAPE = (10, 8, 12)


def translation(shift: tuple[float, float, float], shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    return torch.tensor(shift).view(1, 3, 1, 1, 1).expand(1, 3, *shape).clone()


def test_a_constant_velocity_integrates_to_its_translation() -> None:
    field = integrate(translation((0.5, -1.25, 2.0)), steps=4)
    torch.testing.assert_close(field, translation((0.5, -1.25, 2.0)))


def test_composed_translations_add() -> None:
    total = compose(translation((1.0, 0.0, -2.0)), translation((0.5, 2.0, 0.25)))
    torch.testing.assert_close(total, translation((1.5, 2.0, -1.75)))


def test_a_resized_field_moves_fine_voxels_by_as_many_millimetres() -> None:
    fine = resize_field(translation((1.0, -0.5, 0.0)), (20, 16, 24), 2)
    torch.testing.assert_close(fine, translation((2.0, -1.0, 0.0), (20, 16, 24)))


def test_an_image_is_pulled_from_where_the_field_points() -> None:
    image = torch.zeros(1, *SHAPE)
    image[0, 5, 4, 6] = 7.0
    warped = warp_image(image, translation((2.0, 0.0, -1.0)))
    assert warped[0, 3, 4, 7] == pytest.approx(7.0, abs=1e-4)
    assert float(warped.sum()) == pytest.approx(7.0, abs=1e-3)


def test_a_zero_field_leaves_label_maps_as_they_are() -> None:
    label = torch.from_numpy(np.random.default_rng(0).integers(0, 5, SHAPE))
    assert torch.equal(warp_labels(label, torch.zeros(1, 3, *SHAPE)), label)


@pytest.mark.parametrize("shape", [(1, 6, 6), (6, 1, 6), (6, 6, 1)])
def test_a_label_map_of_one_slice_can_be_warped(shape: tuple[int, int, int]) -> None:
    label = torch.from_numpy(np.random.default_rng(0).integers(0, 3, shape))
    assert torch.equal(warp_labels(label, torch.zeros(1, 3, *shape)), label)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), labels=st.integers(2, 9), strength=st.floats(0.1, 3.0))
def test_each_voxel_gets_the_label_with_the_largest_interpolated_indicator(
    seed: int, labels: int, strength: float
) -> None:
    rng = np.random.default_rng(seed)
    label = torch.from_numpy(rng.integers(0, labels, SHAPE))
    field = torch.from_numpy(rng.normal(0, strength, (1, 3, *SHAPE)).astype(np.float32))
    coordinates = voxel_grid(SHAPE) + field
    shares = torch.stack([sample_at((label == one).float()[None, None], coordinates)[0, 0] for one in range(labels)])
    first, second = shares.topk(2, dim=0).values
    clear = first - second > 1e-3
    warped = warp_labels(label, field)
    assert torch.equal(warped[clear], shares.argmax(0)[clear])
