"""Levels of a latent: a block's mean and what its voxels add to it are the whole."""

from __future__ import annotations

import torch

from synthaug.networks.latent_pyramid import DETAIL_LEVELS, coarsen, detail_of, spread


def test_the_levels_add_up_to_the_latent() -> None:
    latent = torch.randn(2, 3, 16, 8, 24, generator=torch.Generator().manual_seed(0))
    rebuilt = coarsen(latent, DETAIL_LEVELS)
    assert rebuilt.shape == (2, 3, 4, 2, 6)
    for level in range(DETAIL_LEVELS):
        rebuilt = spread(rebuilt) + detail_of(coarsen(latent, DETAIL_LEVELS - 1 - level))
    torch.testing.assert_close(rebuilt, latent)


def test_detail_is_nothing_on_the_mean_over_each_block() -> None:
    latent = torch.randn(1, 2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(coarsen(detail_of(latent)), torch.zeros(1, 2, 4, 4, 4))
    torch.testing.assert_close(coarsen(spread(latent)), latent)
    torch.testing.assert_close(coarsen(latent, 2), coarsen(coarsen(latent)))
