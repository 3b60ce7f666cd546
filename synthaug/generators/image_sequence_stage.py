"""Image stage of MedGen3D: images made slice by slice along z from their label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from synthaug.networks.image_sequence import ImageSequenceGenerator, generate_slices, pad_ends
from synthaug.networks.precision import autocast


@dataclass(frozen=True, eq=False)
class ImageSequenceStage:
    """Samples images from an image sequence generator (MedGen3D, section 3.2).

    Nothing is drawn: a label map has one image, and the same one in any batch.

    Attributes:
        generator: with its weights, on the device.
        device: where it is.
        dtype: floating-point type of the network.
    """

    generator: ImageSequenceGenerator
    device: torch.device
    dtype: torch.dtype

    @torch.no_grad()
    def sample(self, labels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Images ``(C, X, Y, Z)`` float32 in normalised units on the CPU, exactly 0 in the background.

        Args:
            labels: label maps ``(X, Y, Z)`` of one shape; their axial slices are made in order along z.
        """
        if not labels:
            return []
        label = torch.stack([one.long() for one in labels]).movedim(-1, 1).to(self.device)
        with autocast(self.device, self.dtype):
            slices = generate_slices(self.generator, pad_ends(label, slices=self.generator.slices))
            image = torch.stack([one.image.float().cpu() for one in slices], dim=-1)
        return list(image.unbind(0))
