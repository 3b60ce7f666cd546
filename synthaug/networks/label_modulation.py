"""Scale and offset of activations, told by the label map at each voxel (SPADE, Park et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from monai.networks.blocks.spade_norm import SPADE
from torch import nn
from torch.nn import functional


class LabelModulation(nn.Module):
    """Normalise activations, then scale and shift each voxel, or pixel, as features of the label map say.

    MONAI's SPADE normalises scales and offsets by their statistics over the volume at hand, which differ between the
    crops of training and the whole heads of sampling; here they are what the convolutions make of the label map.

    Args:
        norm: normalisation of the activations.
        label_channels: channels of the label map's features.
        hidden_channels: channels between those and the modulation.
        channels: of the activations.
        dimensions: 3 for volumes, 2 for slices.
    """

    def __init__(
        self, norm: nn.Module, label_channels: int, hidden_channels: int, channels: int, *, dimensions: int = 3
    ) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.norm = norm
        self.shared = convolution(label_channels, hidden_channels, 3, padding=1)
        self.modulation = convolution(hidden_channels, 2 * channels, 3, padding=1)
        self.kept: list[torch.Tensor] | None = None

    def forward(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Modulate ``(B, C, x, y, z)``, or ``(B, C, x, y)``, by features ``(B, c, ...)``, brought to its size."""
        kept = self.kept
        modulation = kept[0] if kept else self._modulate(features, x.shape[2:])
        if kept is not None and not kept:
            kept.append(modulation)
        scale, offset = modulation.chunk(2, dim=1)
        return torch.addcmul(offset, self.norm(x), 1 + scale)

    def _modulate(self, features: torch.Tensor, size: torch.Size) -> torch.Tensor:
        """Scale and offset, one after the other in the channels."""
        coarse = features if features.shape[2:] == size else functional.interpolate(features, list(size), mode="area")
        return self.modulation(functional.leaky_relu(self.shared(coarse), 0.01))


@contextmanager
def modulation_kept(network: nn.Module) -> Iterator[None]:
    """While open, every modulation of a network is computed once: for the steps of one sample, on one label map.

    They take as long to compute as the convolutions that they modulate.
    """
    modulations = [module for module in network.modules() if isinstance(module, LabelModulation)]
    for one in modulations:
        one.kept = []
    try:
        yield
    finally:
        for one in modulations:
            one.kept = None


def modulate_by_label(module: nn.Module) -> None:
    """Put a :class:`LabelModulation` in the place of every SPADE of a network of MONAI's."""
    for name, child in list(module.named_children()):
        if isinstance(child, SPADE):
            shared, gamma = child.mlp_shared.conv, child.mlp_gamma.conv
            sizes = (shared.in_channels, shared.out_channels, gamma.out_channels)
            dimensions = len(shared.kernel_size)
            setattr(module, name, LabelModulation(child.param_free_norm, *sizes, dimensions=dimensions))
        else:
            modulate_by_label(child)
