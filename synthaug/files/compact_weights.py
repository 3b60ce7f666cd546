"""Weights of networks in half the size of half precision: 8-bit integers, with a scale for each output channel.

The error of a weight is at most a 254th of the largest of its channel, about a hundredth of a typical one.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

SCALE = ".int8_scale"
"""Ends the name of the scales that belong to a tensor of integers."""

LEAST_ELEMENTS = 4096
"""Smaller tensors are kept in half precision."""


def compact(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Large weights as integers with their scales, all other floating-point tensors in half precision."""
    packed = {}
    for name, tensor in tensors.items():
        if name.endswith("weight") and tensor.ndim >= 2 and tensor.numel() >= LEAST_ELEMENTS:
            largest = tensor.detach().float().abs().flatten(1).amax(dim=1).clamp(min=1e-30)
            scale = (largest / 127).view(-1, *[1] * (tensor.ndim - 1))
            packed[name] = (tensor.float() / scale).round().to(torch.int8)
            packed[name + SCALE] = scale.flatten()
        else:
            packed[name] = tensor.half() if tensor.is_floating_point() else tensor
    return packed


def expand(packed: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Undo :func:`compact`, to float32.

    Raises:
        RuntimeError: integers and scales that do not fit each other.
    """
    tensors = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE):
            continue
        scale = packed.get(name + SCALE)
        if scale is not None:
            tensors[name] = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        else:
            tensors[name] = tensor.float() if tensor.is_floating_point() else tensor
    return tensors
