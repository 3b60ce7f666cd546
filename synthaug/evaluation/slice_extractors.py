"""Feature extractors of slices at fixed places in three views of a cubic grid."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from synthaug.evaluation.extractors import RandomConvolutions


class SliceStatistics(RandomConvolutions):
    """Random convolutions on slices at fixed places of a cubic grid.

    Args:
        places: ``(views, slices)`` indices along x (sagittal slices), y (coronal) and z (axial).
    """

    def __init__(self, places: torch.Tensor) -> None:
        super().__init__()
        self._places = places

    @torch.inference_mode()
    def features(self, image: torch.Tensor, head: torch.Tensor) -> np.ndarray:
        """Vectors ``(views * slices, D)``, view by view."""
        return np.stack(
            [
                self._of_slice(one[None, None], mask[None, None].float())
                for one, mask in zip(slices_at(image, self._places), slices_at(head, self._places), strict=True)
            ]
        )

    def maps(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """What each layer sees of slices ``(N, 1, H, W)``."""
        found = []
        for weight in self._layers:
            slices = functional.relu(functional.conv2d(slices, weight, stride=2, padding=2))
            found.append(slices)
        return found


def slices_at(volume: torch.Tensor, places: torch.Tensor) -> list[torch.Tensor]:
    """Slices of a volume ``(n, n, n)`` at ``(views, slices)`` places, view by view."""
    return [one for axis, at in enumerate(places) for one in volume.index_select(axis, at).movedim(axis, 0)]
