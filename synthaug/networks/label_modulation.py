"""Scale and offset of activations, told by the label map at each voxel (SPADE, Park et al. 2019)."""

from __future__ import annotations

import torch
from monai.networks.blocks.spade_norm import SPADE
from torch import nn
from torch.nn import functional


class LabelModulation(nn.Module):
    """Normalise activations, then scale and shift each voxel as features of the label map say.

    MONAI's SPADE normalises scales and offsets by their statistics over the volume at hand, which differ between the
    crops of training and the whole heads of sampling; here they are what the convolutions make of the label map.

    While no gradients are taken, scales and offsets are kept until other features come: they are the same at every
    step of a sample, and take as long to compute as the convolutions that they modulate.

    Args:
        norm: normalisation of the activations.
        label_channels: channels of the label map's features.
        hidden_channels: channels between those and the modulation.
        channels: of the activations.
    """

    def __init__(self, norm: nn.Module, label_channels: int, hidden_channels: int, channels: int) -> None:
        super().__init__()
        self.norm = norm
        self.shared = nn.Conv3d(label_channels, hidden_channels, 3, padding=1)
        self.modulation = nn.Conv3d(hidden_channels, 2 * channels, 3, padding=1)
        self._kept: tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]] | None = None

    def forward(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Modulate ``(B, C, x, y, z)`` by features ``(B, c, X, Y, Z)``, which are brought to its size."""
        if torch.is_grad_enabled():
            self._kept = None
            scale, offset = self._modulate(features, x.shape[2:])
        else:
            # Held features cannot be freed and their place taken by others: identity is enough.
            if self._kept is None or self._kept[0] is not features:
                self._kept = (features, self._modulate(features, x.shape[2:]))
            scale, offset = self._kept[1]
        return torch.addcmul(offset, self.norm(x), scale)

    def _modulate(self, features: torch.Tensor, size: torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
        """Factor, and offset, of the normalised activations."""
        coarse = features if features.shape[2:] == size else functional.adaptive_avg_pool3d(features, size)
        hidden = functional.leaky_relu(self.shared(coarse), 0.01)
        scale, offset = self.modulation(hidden).chunk(2, dim=1)
        return 1 + scale, offset


def modulate_by_label(module: nn.Module) -> None:
    """Put a :class:`LabelModulation` in the place of every SPADE of a network of MONAI's."""
    for name, child in list(module.named_children()):
        if isinstance(child, SPADE):
            shared, gamma = child.mlp_shared.conv, child.mlp_gamma.conv
            setattr(
                module,
                name,
                LabelModulation(child.param_free_norm, shared.in_channels, shared.out_channels, gamma.out_channels),
            )
        else:
            modulate_by_label(child)
