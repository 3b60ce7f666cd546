"""The isotropic grid of a case: its own voxels where they fit, and millimetres kept where they do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthaug.warps.displacement import warp_image
from synthaug.warps.field_grid import FieldGrid


def test_an_isotropic_case_keeps_its_voxels_and_gets_even_axes() -> None:
    grid = FieldGrid.covering((11, 12, 13), (1.0, 1.0, 1.0))
    assert grid.shape == (12, 12, 14)
    label = torch.from_numpy(np.random.default_rng(0).integers(0, 9, (11, 12, 13)))
    brought = grid.bring(label)
    assert torch.equal(brought[:11, :, :13], label)
    assert int(brought[11:].sum()) == 0
    assert int(brought[:, :, 13:].sum()) == 0
    field = torch.randn(1, 3, *grid.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(grid.field_for_case(field), field[:, :, :11, :, :13])


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((60, 40, 12), (1.0, 1.0, 5.0)), ((30, 32, 28), (4.0, 4.0, 4.0)), ((90, 90, 70), (0.5, 0.5, 1))],
)
def test_volumes_and_displacements_in_millimetres_survive_any_spacing(
    shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    grid = FieldGrid.covering(shape, spacing)
    assert all(size % 2 == 0 for size in grid.shape)
    mask = torch.zeros(shape, dtype=torch.long)
    mask[shape[0] // 4 : shape[0] // 2, 5:20, 3:9] = 1
    before = int(mask.sum()) * float(np.prod(spacing))
    assert float(grid.bring(mask).sum()) * grid.spacing_mm**3 == pytest.approx(before, rel=0.1)
    move_mm = torch.tensor([2.0, -1.0, 3.0]).view(1, 3, 1, 1, 1)
    field = grid.field_for_case((move_mm / grid.spacing_mm).expand(1, 3, *grid.shape))
    expected = (move_mm / torch.tensor(spacing).view(1, 3, 1, 1, 1)).expand(1, 3, *shape)
    torch.testing.assert_close(field, expected, atol=1e-4, rtol=1e-4)


def test_a_smooth_field_lands_where_it_was_found() -> None:
    """A dilation about a point of the isotropic grid moves a case's voxels about the same point in millimetres."""
    grid = FieldGrid.covering((48, 48, 16), (2.0, 2.0, 6.0))
    position = [(torch.arange(size) + 0.5) * grid.spacing_mm for size in grid.shape]
    field = 0.1 * (torch.stack(torch.meshgrid(*position, indexing="ij"))[None] - 48.0) / grid.spacing_mm
    x_mm = (torch.arange(48) + 0.5) * 2.0
    image = x_mm.view(1, 48, 1, 1).expand(1, 48, 48, 16).contiguous()
    warped = warp_image(image, grid.field_for_case(field))
    torch.testing.assert_close(warped[0, 8:40, 24, 8], (x_mm + 0.1 * (x_mm - 48))[8:40], atol=1e-2, rtol=0)
