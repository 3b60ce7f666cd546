"""Whether a network can be built and has room, before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import nn

from synthaug.errors import ConfigurationError
from synthaug.study.segmenters import NetworkSegmenter

BYTES_OF_A_WEIGHT = 20
"""float32: the weight, its gradient, two moments of the optimiser and the moving average."""


def check_network(
    segmenter: NetworkSegmenter, channels: int, classes: int, shape: Sequence[int], device: torch.device
) -> None:
    """Build a network once, without its weights where MONAI allows that.

    Activations are not counted: a network that passes may still be too large for the grid.

    Args:
        segmenter: the network and its sizes.
        channels: of the images.
        classes: of the label maps, background included.
        shape: of the grid.
        device: that it is trained on.

    Raises:
        ConfigurationError: it cannot be built, or its weights alone do not fit the memory of the device.
    """
    try:
        network = _built(segmenter, channels, classes, shape)
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigurationError(
            f"segmenters.{segmenter.kind}: no network of these sizes for {list(shape)} voxels can be built here "
            f"({reason}); change its sizes or the shape"
        ) from error
    needed, room = BYTES_OF_A_WEIGHT * sum(one.numel() for one in network.parameters()), _memory(device)
    if needed > room:
        raise ConfigurationError(
            f"segmenters.{segmenter.kind}: training its weights takes {needed / 2**30:.0f} GiB, and {device} has "
            f"{room / 2**30:.0f} GiB; give smaller sizes"
        )


def _built(segmenter: NetworkSegmenter, channels: int, classes: int, shape: Sequence[int]) -> nn.Module:
    try:
        with torch.device("meta"):
            return segmenter.build(channels, classes, shape)
    except (NotImplementedError, RuntimeError):  # MONAI looks at the values of a tensor, as Swin UNETR's does
        return segmenter.build(channels, classes, shape)


def _memory(device: torch.device) -> int:
    """Bytes that the device has in all."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
