"""Scales of latents."""

from __future__ import annotations

import torch

from synthaug.generators.latent_scale import LatentScale


def test_scaling_a_latent_is_undone_by_unscaling() -> None:
    statistics = LatentScale((1.0, -2.0), (0.5, 4.0))
    latent = torch.randn(2, 2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(statistics.unscale(statistics.scale(latent)), latent)
    uniform = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 3, 3)
    assert float(statistics.scale(uniform).abs().max()) == 0
