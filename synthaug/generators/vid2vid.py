"""Baseline of MedGen3D (arXiv 2304.04106, section 4.2): its label maps, with images of Vid2Vid alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from synthaug.generators.sequence_generator import SequenceGenerator


class Vid2Vid(SequenceGenerator):
    """Image slices in order, each the one before warped and blended with new texture (Wang et al. 2018).

    A label map has one image: the seed decides about the label map alone.
    """

    system = "vid2vid"

    def _normalised_images(
        self, labels: Sequence[torch.Tensor], generators: Sequence[torch.Generator]
    ) -> list[torch.Tensor]:
        return self._sequence_images(labels)
