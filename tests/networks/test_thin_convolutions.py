"""Gradients of thin volumes are those of full precision, whatever the precision around them."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from synthaug.networks.memory_format import with_channels_last
from synthaug.networks.thin_convolutions import guard_thin_convolutions


@pytest.mark.parametrize("shape", [(2, 3, 2), (2, 2, 2), (1, 4, 4), (3, 3, 3)])
def test_gradients_of_the_weights_are_right_in_half_precision(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    exact = nn.Sequential(nn.Conv3d(32, 64, 3, padding=1), nn.Conv3d(64, 32, 3, padding=1))
    mixed = with_channels_last(deepcopy(exact))
    guard_thin_convolutions(mixed)
    assert list(mixed.state_dict()) == list(exact.state_dict())
    volume = torch.randn(2, 32, *shape)
    exact(volume).square().mean().backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outcome = mixed(volume)
    outcome.float().square().mean().backward()
    for one, other in zip(mixed.parameters(), exact.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=0.05, atol=0.05 * float(other.grad.abs().max()))


def test_thick_volumes_stay_in_half_precision() -> None:
    network = nn.Sequential(nn.Conv3d(4, 4, 3, padding=1))
    guard_thin_convolutions(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(torch.randn(1, 4, 4, 4, 4)).dtype == torch.bfloat16
        assert network(torch.randn(1, 4, 2, 4, 4)).dtype == torch.float32
