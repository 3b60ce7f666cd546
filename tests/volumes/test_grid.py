"""Arrays on a generator's grid: nothing is lost at the edges, and coarser grids see means."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.volumes.grid import Grid, box_centre_mm, place_on_grid

THICK = np.diag([1.0, 1.0, 4.0, 1.0])


def centred(grid: Grid, array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return grid.affine_centred_at(box_centre_mm(np.ones(array.shape, bool), affine))


@pytest.mark.parametrize("is_label", [True, False])
def test_thick_outer_slices_keep_all_of_their_thickness(is_label: bool) -> None:
    array = np.full((8, 8, 4), 3, np.int16 if is_label else np.float32)
    grid = Grid((12, 12, 32), (1.0, 1.0, 1.0))
    placed = place_on_grid(array, THICK, grid, centred(grid, array, THICK), is_label=is_label)
    assert (placed == 3).sum() == 8 * 8 * 16
    assert not placed[:, :, :8].any()
    assert placed.dtype == array.dtype


def test_equal_spacing_copies_voxels() -> None:
    array = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    grid = Grid((8, 9, 10), (1.0, 1.0, 1.0))
    placed = place_on_grid(array, np.eye(4), grid, centred(grid, array, np.eye(4)), is_label=False)
    assert np.array_equal(placed[1:7, 1:8, 1:9], array)


def test_a_coarser_grid_sees_no_single_bright_voxels() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(100, 30, size=(48, 48, 48)).astype(np.float32)
    grid = Grid((12, 12, 12), (4.0, 4.0, 4.0))
    placed = place_on_grid(noise, np.eye(4), grid, centred(grid, noise, np.eye(4)), is_label=False)
    assert placed.std() < 0.4 * noise.std()
    assert placed.mean() == pytest.approx(100, abs=3)
