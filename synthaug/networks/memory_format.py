"""Convolutions with channels last in memory, which is fastest on CPUs and GPUs alike."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By number of axes of a weight: of slices, of volumes."""


def with_channels_last(network: Network) -> Network:
    """The same network, its weights laid out so."""
    for weight in (*network.parameters(), *network.buffers()):
        if weight.ndim in FORMATS:
            weight.data = weight.data.contiguous(memory_format=FORMATS[weight.ndim])
    return network
