"""Compact weights: small on disk, near to what they were, and everything else untouched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synthaug.files.compact_weights import compact, expand


def test_large_weights_lose_little_and_take_a_byte_each() -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(16, 32, 3)
    with torch.no_grad():
        layer.weight[3] *= 1000
        layer.weight[5] = 0
    packed = compact(layer.state_dict())
    assert packed["weight"].dtype == torch.int8
    assert packed["bias"].dtype == torch.float16
    found = expand(packed)
    assert found["weight"].dtype == torch.float32
    for channel, (before, after) in enumerate(zip(layer.weight.detach(), found["weight"], strict=True)):
        assert float((before - after).abs().max()) <= float(before.abs().max()) / 253, channel
    nn.Conv3d(16, 32, 3).load_state_dict(found)


def test_buffers_integers_and_small_tensors_stay_what_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "mean": torch.randn(1, 8, 10, 10, 10, generator=generator),
        "steps": torch.tensor([3]),
        "small.weight": torch.randn(4, 4, generator=generator),
    }
    packed = compact(tensors)
    assert packed["mean"].dtype == packed["small.weight"].dtype == torch.float16
    found = expand(packed)
    assert torch.equal(found["steps"], tensors["steps"])
    torch.testing.assert_close(found["mean"], tensors["mean"], rtol=1e-3, atol=1e-3)


def test_scales_of_another_tensor_are_refused() -> None:
    packed = compact({"weight": torch.ones(64, 64)})
    packed["weight.int8_scale"] = packed["weight.int8_scale"][:5]
    with pytest.raises(RuntimeError):
        expand(packed)
