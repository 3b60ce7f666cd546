"""Baseline of MedGen3D (arXiv 2304.04106, section 4.2): diffusion models of slices, one for each view.

The paper's make images alone, and unconditionally. Here they are told the label map, since a pair is asked for, and
follow the mean of their views, since a volume is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from synthaug.generators.sequence_generator import SequenceGenerator


class DDPM2D(SequenceGenerator):
    """Label maps of a diffusion model of slices, images that diffusion models of slices make of noise (Ho et al. 2020).

    With one of the ``views`` alone, slices know nothing of each other.
    """

    system = "ddpm2d"

    def _normalised_images(
        self, labels: Sequence[torch.Tensor], generators: Sequence[torch.Generator]
    ) -> list[torch.Tensor]:
        sampling = self.config.sampling
        return [
            self._slices.generate(label, generator, steps=sampling.image_steps, views=sampling.views)
            for label, generator in zip(labels, generators, strict=True)
        ]
