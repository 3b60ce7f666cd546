"""Statistics that bring latents to the scale that diffusion models work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LatentScale:
    """Statistics that bring a latent to zero mean and unit deviation, measured once over the training set.

    Attributes:
        mean: by latent channel.
        std: by latent channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def scale(self, latent: torch.Tensor) -> torch.Tensor:
        """Bring a ``(B, C, x, y, z)`` latent to zero mean and unit deviation by channel."""
        return (latent - _per_channel(self.mean, latent)) / _per_channel(self.std, latent)

    def unscale(self, latent: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`scale`."""
        return latent * _per_channel(self.std, latent) + _per_channel(self.mean, latent)


def _per_channel(values: Sequence[float], latent: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, device=latent.device, dtype=latent.dtype).view(1, -1, 1, 1, 1)
