"""Random warps: drawn from the generator that is passed in, and as strong as their ranges."""

from __future__ import annotations

import numpy as np
import torch

from synthaug.warps.random_warp import RandomWarp

SHAPE = (24, 28, 20)
STILL = RandomWarp(rotation_degrees=0, scale=0, translation_mm=0, bump_mm=0)


def draw(warp: RandomWarp, seed: int) -> torch.Tensor:
    return warp.draw(SHAPE, 2.0, np.random.default_rng(seed))


def test_the_same_seed_draws_the_same_field_and_another_seed_another() -> None:
    assert torch.equal(draw(RandomWarp(), 1), draw(RandomWarp(), 1))
    assert not torch.equal(draw(RandomWarp(), 1), draw(RandomWarp(), 2))


def test_ranges_of_zero_move_nothing() -> None:
    torch.testing.assert_close(draw(STILL, 1), torch.zeros(1, 3, *SHAPE), atol=1e-4, rtol=0)


def test_a_translation_is_in_millimetres() -> None:
    only_shift = RandomWarp(rotation_degrees=0, scale=0, translation_mm=4.0, bump_mm=0)
    fine = only_shift.draw(SHAPE, 1.0, np.random.default_rng(3))
    coarse = only_shift.draw(SHAPE, 2.0, np.random.default_rng(3))
    assert float(fine.std(dim=(2, 3, 4)).max()) < 1e-3
    torch.testing.assert_close(fine[..., 5, 5, 5], 2 * coarse[..., 5, 5, 5], atol=1e-4, rtol=1e-4)
