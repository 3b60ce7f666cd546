"""Normalisation of each voxel over its channels."""

from __future__ import annotations

import torch
from torch import nn

from synthaug.networks.voxel_norm import VoxelNorm, normalise_each_voxel


def test_a_crop_is_normalised_as_a_part_of_the_whole() -> None:
    whole = torch.randn(1, 6, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    whole[..., 4:] = 0  # background, which shifts the statistics of a volume
    norm = VoxelNorm(6)
    torch.testing.assert_close(norm(whole)[..., :4], norm(whole[..., :4]))
    assert not torch.allclose(nn.GroupNorm(2, 6)(whole)[..., :4], nn.GroupNorm(2, 6)(whole[..., :4]), atol=0.1)


def test_every_voxel_has_mean_0_and_deviation_1_over_its_channels() -> None:
    y = VoxelNorm(16, affine=False)(5 + 3 * torch.randn(2, 16, 4, 4, 4, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 4, 4, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(1, correction=0), torch.ones(2, 4, 4, 4), atol=1e-3, rtol=0)


def test_group_norms_are_replaced_wherever_they_are_and_keep_whether_they_learn() -> None:
    network = nn.Sequential(nn.GroupNorm(2, 4), nn.Sequential(nn.Conv3d(4, 8, 1), nn.GroupNorm(2, 8, affine=False)))
    normalise_each_voxel(network)
    assert not any(isinstance(module, nn.GroupNorm) for module in network.modules())
    assert {name for name, _ in network.named_parameters()} == {"0.weight", "0.bias", "1.0.weight", "1.0.bias"}
