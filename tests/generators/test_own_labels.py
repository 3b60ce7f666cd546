"""A user's label map on a generator's grid, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.errors import GeometryError, LabelError
from synthaug.generators.own_labels import PlacedLabel
from synthaug.volumes.grid import Grid

GRID = Grid((16, 20, 16), (2.0, 2.0, 2.0))


def ball(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    """Label map with a ball of label 1, and of label 2 in its upper half, in the middle."""
    axes = [(np.arange(n) - (n - 1) / 2) * edge for n, edge in zip(shape, spacing_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.where(x**2 + y**2 + z**2 <= radius_mm**2, 1 + (z > 0), 0).astype(np.int16)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 30)] * 3),
    first=st.tuples(*[st.integers(0, 29)] * 3),
    size=st.tuples(st.integers(1, 16), st.integers(1, 20), st.integers(1, 16)),
)
def test_equal_spacing_copies_voxels_there_and_back(
    shape: tuple[int, int, int], first: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    own = np.zeros(shape, np.int16)
    start = [min(one, n - 1) for one, n in zip(first, shape, strict=True)]
    box = tuple(slice(one, one + length) for one, length in zip(start, size, strict=True))
    own[box] = np.arange(1, own[box].size + 1).reshape(own[box].shape)
    placed = PlacedLabel.place(own, GRID.spacing_mm, GRID, "label.nii.gz")
    np.testing.assert_array_equal(np.sort(placed.label[placed.label > 0]), np.sort(own[own > 0]))
    np.testing.assert_array_equal(placed.shown, own > 0)
    image = placed.label[None].astype(np.float32)
    np.testing.assert_array_equal(placed.bring_back(image, [0.0])[0], own)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.3, 0.8), (1.0, 1.0, 5.0), (3.0, 3.0, 3.0)])
def test_other_spacings_mix_no_background_into_tissue(spacing_mm: tuple[float, float, float]) -> None:
    shape = tuple(int(44 / edge) for edge in spacing_mm)
    own = ball((shape[0], shape[1], shape[2]), spacing_mm, 13.0)
    placed = PlacedLabel.place(own, spacing_mm, GRID, "label.nii.gz")
    assert placed.label.shape == GRID.shape
    volume = (own > 0).sum() * np.prod(spacing_mm)
    assert (placed.label > 0).sum() * 8 == pytest.approx(volume, rel=0.1)
    image = np.stack([np.where(placed.label > 0, 100.0, 0.0), np.where(placed.label > 0, -7.0, -1000.0)]).astype(
        np.float32
    )
    brought = placed.bring_back(image, [0.0, -1000.0])
    np.testing.assert_array_equal(placed.shown, own > 0)
    np.testing.assert_allclose(brought[0], (own > 0) * 100.0, rtol=1e-5)
    np.testing.assert_allclose(brought[1], np.where(own > 0, -7.0, -1000.0), rtol=1e-5)


def test_the_image_lies_where_the_label_map_lies() -> None:
    spacing_mm = (1.0, 1.0, 1.0)
    own = np.roll(ball((48, 48, 48), spacing_mm, 12.0), (5, -4, 7), (0, 1, 2))
    placed = PlacedLabel.place(own, spacing_mm, GRID, "label.nii.gz")
    brought = placed.bring_back(placed.label[None].astype(np.float32), [0.0])[0]
    for number in (1, 2):
        nearest = (np.abs(brought - number) < 0.5) & (own > 0)
        np.testing.assert_allclose(np.argwhere(nearest).mean(axis=0), np.argwhere(own == number).mean(axis=0), atol=0.6)


def test_a_tail_beyond_the_grid_is_cut_and_not_the_head() -> None:
    own = np.pad(ball((15, 15, 15), (2.0, 2.0, 2.0), 13.0), ((0, 0), (0, 0), (20, 0)))
    own[7, 7, :20] = 1
    placed = PlacedLabel.place(own, (2.0, 2.0, 2.0), GRID, "label.nii.gz")
    assert placed.shown[:, :, 20:].sum() == (own[:, :, 20:] > 0).sum()
    assert not placed.shown[:, :, :18].any()
    brought = placed.bring_back((placed.label[None] > 0).astype(np.float32), [0.0])[0]
    np.testing.assert_array_equal(brought > 0, placed.shown)


def test_what_cannot_be_placed_is_one_clear_line() -> None:
    with pytest.raises(LabelError, match=r"big\.nii\.gz: holds no voxel of a structure"):
        PlacedLabel.place(np.zeros((4, 4, 4), np.int16), (1.0, 1.0, 1.0), GRID, "big.nii.gz")
    with pytest.raises(GeometryError, match=r"big\.nii\.gz: .* % of the labelled volume lies outside.*crop") as failure:
        PlacedLabel.place(ball((60, 60, 60), (1.0, 1.0, 1.0), 25.0), (1.0, 1.0, 1.0), GRID, "big.nii.gz")
    assert "\n" not in str(failure.value)
