"""MedGen3D (Han et al., arXiv 2304.04106): label and image sequences, refined by semantic diffusion models."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from synthaug.generators.sequence_generator import SequenceGenerator


class MedGen3D(SequenceGenerator):
    """Label maps of a multi-condition diffusion model of slices (section 3.1), images of a Vid2Vid generator, which
    three semantic diffusion models, one for each view, noise a little and denoise (section 3.2).
    """

    system = "medgen3d"

    def _normalised_images(
        self, labels: Sequence[torch.Tensor], generators: Sequence[torch.Generator]
    ) -> list[torch.Tensor]:
        sampling = self.config.sampling
        steps = {"noising_steps": sampling.noising_steps, "steps": sampling.refine_steps}
        drafts = zip(self._sequence_images(labels), labels, generators, strict=True)
        return [self._slices.refine(image, label, generator, **steps) for image, label, generator in drafts]
