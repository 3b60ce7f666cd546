"""Modulation by a label map: local, kept between the steps of a sample, and what SPADE is without its statistics."""

from __future__ import annotations

import pytest
import torch
from monai.networks.blocks.spade_norm import SPADE
from torch import nn

from synthaug.networks.image_diffusion import ImageDiffusionUNet
from synthaug.networks.label_modulation import LabelModulation, modulation_kept


@pytest.fixture
def modulation() -> LabelModulation:
    torch.manual_seed(0)
    return LabelModulation(nn.GroupNorm(2, 6), label_channels=3, hidden_channels=5, channels=6)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_it_is_spade_without_the_statistics_of_scale_and_offset(modulation: LabelModulation) -> None:
    spade = SPADE(3, 6, spatial_dims=3, hidden_channels=5, norm="GROUP", norm_params={"num_groups": 2})
    spade.mlp_gamma.adn = spade.mlp_beta.adn = nn.Identity()
    spade.mlp_shared.conv.load_state_dict(modulation.shared.state_dict())
    for index, conv in enumerate((spade.mlp_gamma.conv, spade.mlp_beta.conv)):
        conv.load_state_dict({k: v.chunk(2)[index] for k, v in modulation.modulation.state_dict().items()})
    x, features = random(2, 6, 8, 8, 8), random(2, 3, 8, 8, 8, seed=1)
    torch.testing.assert_close(modulation(x, features), spade(x, features))


def test_what_happens_far_away_changes_nothing(modulation: LabelModulation) -> None:
    x, features = random(1, 6, 24, 4, 4), random(1, 3, 24, 4, 4, seed=1)
    other = features.clone()
    other[:, :, 12:] = 9
    here, there = modulation(x, features), modulation(x, other)
    torch.testing.assert_close(here[:, :, :10], there[:, :, :10])
    assert float((here - there).detach()[:, :, 12:].abs().max()) > 0.1


def test_features_of_another_size_are_averaged(modulation: LabelModulation) -> None:
    x, features = random(1, 6, 4, 4, 4), random(1, 3, 8, 8, 8, seed=1)
    torch.testing.assert_close(modulation(x, features), modulation(x, torch.nn.functional.avg_pool3d(features, 2)))


def test_modulations_are_computed_once_while_they_are_kept_and_dropped_then(modulation: LabelModulation) -> None:
    x, features = random(1, 6, 4, 4, 4), random(1, 3, 4, 4, 4, seed=1)
    calls: list[int] = []
    modulation.shared.register_forward_hook(lambda *_: calls.append(1))
    expected = modulation(x, features)
    with modulation_kept(nn.Sequential(modulation)):
        for state in (x, x, 2 * x):
            kept = modulation(state, features)
        torch.testing.assert_close(modulation(x, features), expected)
        assert not torch.equal(kept, expected)
    assert len(calls) == 2
    assert modulation.kept is None
    assert not torch.equal(modulation(x, features + 1), expected)
    assert len(calls) == 3


def test_an_error_on_the_way_drops_them_too(modulation: LabelModulation) -> None:
    with pytest.raises(RuntimeError), modulation_kept(modulation):
        modulation(random(1, 6, 4, 4, 4), random(1, 2, 4, 4, 4))
    assert modulation.kept is None


def test_no_statistics_over_the_volume_are_left_in_the_image_network() -> None:
    network = ImageDiffusionUNet(2, 4, 4, label_channels=4, channels=(4, 8), norm_groups=0)
    kinds = {type(module) for module in network.modules()}
    assert LabelModulation in kinds
    assert not kinds & {nn.InstanceNorm3d, nn.GroupNorm, SPADE}
