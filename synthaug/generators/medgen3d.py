"""MedGen3D (Han et al., arXiv 2304.04106): label and image sequences, refined by semantic diffusion models."""

from __future__ import annotations

import torch

from synthaug.generators.sequence_generator import SequenceGenerator


class MedGen3D(SequenceGenerator):
    """Label maps of a multi-condition diffusion model of slices (section 3.1), images of a Vid2Vid generator, which
    three semantic diffusion models, one for each view, noise a little and denoise (section 3.2).
    """

    system = "medgen3d"

    def _make_image(self, label: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        sampling = self.config.sampling
        return self._slices.refine(
            self._sequence_images(label),
            label,
            generator,
            noising_steps=sampling.noising_steps,
            steps=sampling.refine_steps,
        )
