"""Rehearsals: who knows the latents leaves them as they are, and is asked for the volumes that they have."""

from __future__ import annotations

import pytest
import torch

from synthaug.fitting.rehearsal import DetailRehearsal, MaskRehearsal
from synthaug.generators.latent_scale import LatentScale
from synthaug.labels import LabelScheme
from synthaug.networks.condition_encoder import condition_vector
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import coarsen, spread
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.mask_diffusion import MaskDiffusionUNet
from synthaug.volumes.grid import Grid

SCHEME = LabelScheme.load("ventricles-t1")
LIMITS_ML = {"ventricles": (0.1, 100.0), "brain": (0.1, 100.0)}
SCALE = LatentScale((0.1,) * 13, (0.2,) * 13)
SIZE = 32


class KnowingHeads(MaskDiffusionUNet):
    """Leads every state to one latent, or half-way there."""

    def __init__(self, data: torch.Tensor, share: float = 1.0) -> None:
        super().__init__(13, 2, tuple(data.shape[2:]), channels=(8, 8), attention_levels=(False, True), head_channels=8)
        self.data, self.share = data, share
        self.asked: list[torch.Tensor] = []

    def forward(self, state: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        self.asked.append(condition)
        return self.share * (state - self.data) / (time / 1000).view(-1, 1, 1, 1, 1)


class KnowingDetail(MaskDetailUNet):
    """Leads every state to the detail of one latent."""

    def __init__(self, data: torch.Tensor) -> None:
        super().__init__(13, channels=(4,))
        self.data = data

    def forward(self, detail: torch.Tensor, time: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        return (detail - (self.data - spread(coarse))) / (time / 1000).view(-1, 1, 1, 1, 1)


@pytest.fixture
def label() -> torch.Tensor:
    return torch.randint(0, 14, (1, SIZE, SIZE, SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def rehearse_heads(label: torch.Tensor, network: KnowingHeads, latent: torch.Tensor) -> torch.Tensor:
    autoencoder = LabelAutoencoder(SCHEME.num_classes, channels=8, num_res_blocks=1)
    grid = Grid((SIZE,) * 3, (1.0,) * 3)
    rehearsal = MaskRehearsal(network, autoencoder, SCALE, SCHEME, grid, LIMITS_ML, torch.float32)
    with torch.no_grad():
        return rehearsal(latent, torch.Generator().manual_seed(0))


def test_heads_are_asked_for_with_the_volumes_that_they_have(label: torch.Tensor) -> None:
    latent = SCALE.scale(LabelAutoencoder(SCHEME.num_classes).encode(label, coarser=2))
    network = KnowingHeads(latent)
    torch.testing.assert_close(rehearse_heads(label, network, latent), latent, atol=1e-4, rtol=0)
    held = {name: float(torch.isin(label, torch.tensor(SCHEME.resolve(name))).sum()) / 1000 for name in LIMITS_ML}
    expected = condition_vector(held, tuple(LIMITS_ML), LIMITS_ML)
    assert len(network.asked) == 2
    for condition in network.asked:
        torch.testing.assert_close(condition[0], expected, atol=1e-4, rtol=0)


def test_what_a_network_cannot_do_shows(label: torch.Tensor) -> None:
    latent = SCALE.scale(LabelAutoencoder(SCHEME.num_classes).encode(label, coarser=2))
    made = rehearse_heads(label, KnowingHeads(latent, share=0.7), latent)
    assert 0.05 < float((made - latent).std()) < 1


def test_detail_that_is_known_comes_back(label: torch.Tensor) -> None:
    latent = SCALE.scale(LabelAutoencoder(SCHEME.num_classes).encode(label, coarser=1))
    with torch.no_grad():
        made = DetailRehearsal(KnowingDetail(latent), torch.float32)(latent, torch.Generator().manual_seed(0))
    torch.testing.assert_close(made, latent, atol=1e-4, rtol=0)
    torch.testing.assert_close(coarsen(made), coarsen(latent), atol=1e-4, rtol=0)
