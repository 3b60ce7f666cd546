"""Random deformation and intensities: what they leave alone, where they move things, and that draws repeat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from synthaug.study.augmentation import Augmentation, AugmentationDraw, augment

NOTHING = Augmentation(0, 0, 0, 0, bias=0, gamma=0, noise=0)
SPACING_MM = (1.0, 2.0, 4.0)


def still() -> AugmentationDraw:
    return NOTHING.draw(np.random.default_rng(0))


def blocks() -> tuple[torch.Tensor, torch.Tensor]:
    """A bright box off the middle, of label 3."""
    image = torch.zeros(1, 1, 12, 10, 8)
    image[..., 3:6, 2:5, 4:6] = 0.8
    return image, (image[:, 0] > 0).to(torch.uint8) * 3


def test_ranges_of_zero_change_nothing() -> None:
    image, label = blocks()
    moved, ids = augment(image, label, [still()], SPACING_MM)
    torch.testing.assert_close(moved, image)
    assert torch.equal(ids, label)
    assert ids.dtype == torch.uint8


def test_a_shift_is_in_mm_along_its_axis() -> None:
    image, label = blocks()
    for axis, spacing_mm in enumerate(SPACING_MM):
        draw = still()
        affine = draw.affine.copy()
        affine[axis, 3] = spacing_mm  # each voxel comes from one further on
        _, ids = augment(image, label, [replace(draw, affine=affine)], SPACING_MM)
        assert torch.equal(ids, label.roll(-1, dims=axis + 1))


def test_bumps_are_in_mm_along_their_axis() -> None:
    image, label = blocks()
    draw = still()
    bumps = np.zeros_like(draw.bumps_mm)
    bumps[1] = 2 * SPACING_MM[1]
    _, ids = augment(image, label, [replace(draw, bumps_mm=bumps)], SPACING_MM)
    assert torch.equal(ids, label.roll(-2, dims=2))


def test_a_quarter_turn_takes_one_axis_to_the_other() -> None:
    label = torch.zeros(1, 9, 9, 9, dtype=torch.uint8)
    label[0, 4:9, 4, 4] = 1  # from the middle along +x
    draw = still()
    turn = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0]], np.float32)  # result's y is the source's x
    _, ids = augment(label[:, None].float(), label, [replace(draw, affine=turn)], (1, 1, 1))
    assert ids[0, 4, :, 4].tolist() == label[0, :, 4, 4].tolist()


def test_samples_of_a_batch_have_draws_of_their_own() -> None:
    image, label = blocks()
    rng = np.random.default_rng(1)
    one, other = Augmentation().draw(rng), Augmentation().draw(rng)
    together, _ = augment(image.repeat(2, 1, 1, 1, 1), label.repeat(2, 1, 1, 1), [one, other], SPACING_MM)
    alone, _ = augment(image, label, [other], SPACING_MM)
    torch.testing.assert_close(together[1:], alone)
    assert not torch.equal(together[0], together[1])


def test_the_background_stays_exactly_zero_and_the_same_draw_gives_the_same() -> None:
    image, label = blocks()
    draws = [Augmentation().draw(np.random.default_rng(2))]
    moved, ids = augment(image, label, draws, SPACING_MM)
    again, _ = augment(image, label, draws, SPACING_MM)
    assert torch.equal(moved, again)
    far = torch.ones_like(image, dtype=torch.bool)
    far[..., 0:9, 0:8, 1:8] = False
    assert (moved[far] == 0).all()
    assert set(ids.unique().tolist()) == {0, 3}


def test_gamma_and_bias_act_on_intensities_alone() -> None:
    image, label = blocks()
    draw = replace(still(), gamma=2.0, log_bias=np.full((4, 4, 4), np.log(0.5), np.float32))
    changed, ids = augment(image, label, [draw], SPACING_MM)
    torch.testing.assert_close(changed, image**2 * 0.5)
    assert torch.equal(ids, label)
