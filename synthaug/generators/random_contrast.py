"""Images of no scanner in particular: contrast, field, resolution and artefacts drawn at random for a label map.

The image model of SynthSeg (Billot et al. 2023), which needs no training and no real image: each structure has a mean
and a deviation of its own, the two sides of the body the same; then come partial volumes, a smooth bias field, a gamma
curve, thick slices and, now and then, ringing. Fields and ringing are MONAI's transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from synthaug.configuration.limits import allowed
from synthaug.labels import LabelScheme

BRIGHTEST = 1000.0
"""Intensity of the brightest tissue."""

DARKEST = 1.0
"""Intensity of the darkest tissue, which background, 0, is not."""

PARTIAL_VOLUME_VOXELS = (0.3, 0.8)
"""Range of the blur that gives borders the greys of both sides."""

SLICE_BLUR = 0.4
"""Deviation of the blur of a thick slice, as a share of its thickness."""


@dataclass(frozen=True)
class RandomContrast:
    """Ranges that an image is drawn from.

    Attributes:
        deviation: largest deviation of the intensities within a structure, where means run from 0 to 1.
        bias: largest logarithm of the bias field, a polynomial: 0.5 takes intensities to between 0.6 and 1.6 of theirs.
        gamma: deviation of the logarithm of gamma.
        thickest_mm: largest thickness of slices along a random axis.
        thick_share: share of the images with thick slices.
        ringing: share of the images with ringing (Gibbs noise).
    """

    deviation: float = field(default=0.14, metadata=allowed(low=0, high=1))
    bias: float = field(default=0.5, metadata=allowed(low=0, high=1.5))
    gamma: float = field(default=0.3, metadata=allowed(low=0, high=2))
    thickest_mm: float = field(default=5.0, metadata=allowed(above=0, high=50))
    thick_share: float = field(default=0.5, metadata=allowed(low=0, high=1))
    ringing: float = field(default=0.1, metadata=allowed(low=0, high=1))

    def image(
        self, label: np.ndarray, scheme: LabelScheme, spacing_mm: Sequence[float], rng: np.random.Generator
    ) -> np.ndarray:
        """Image ``(X, Y, Z)`` float32 of one channel: 0 outside all labels, above it inside.

        Args:
            label: ``(X, Y, Z)``.
            scheme: of the label map; sides that mirror each other share their intensities.
            spacing_mm: voxel edges in mm along x, y, z.
            rng: source of all draws.
        """
        means, deviations = self._draw_tissues(scheme, rng)
        image = means[label] + deviations[label] * rng.standard_normal(label.shape, dtype=np.float32)
        image = ndimage.gaussian_filter(image, rng.uniform(*PARTIAL_VOLUME_VOXELS))
        image = self._with_bias(image, rng).clip(0, None)
        tissue = label > 0
        low, high = np.percentile(image[tissue], (0.1, 99.9)) if tissue.any() else (0.0, 1.0)
        image = ((image - low) / max(high - low, 1e-6)).clip(0, 1) ** np.exp(self.gamma * rng.standard_normal())
        image = self._with_thick_slices(image, spacing_mm, rng)
        image = self._with_ringing(image, rng)
        return np.where(tissue, DARKEST + (BRIGHTEST - DARKEST) * image.clip(0, 1), 0.0).astype(np.float32)

    def _draw_tissues(self, scheme: LabelScheme, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation by label id; background is dark."""
        twins = scheme.mirror_ids()  # of ignored voxels, too
        means, deviations = (np.zeros(max(twins) + 1, np.float32) for _ in range(2))
        for number in sorted(set(twins) - {0}):
            first = min(number, twins[number])
            means[number] = rng.uniform(0, 1) if first == number else means[first]
            deviations[number] = rng.uniform(0, self.deviation) if first == number else deviations[first]
        return means, deviations

    def _with_bias(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from monai.transforms import RandBiasField

        drawn = RandBiasField(prob=1.0, degree=3, coeff_range=(-1.0, 1.0))
        drawn.set_random_state(seed=int(rng.integers(2**31)))
        # the field is smooth: that of a coarse grid does for the fine one
        coarse = torch.ones(1, *(max(extent // 8, 4) for extent in image.shape))
        field = torch.as_tensor(drawn(coarse)).float().log()[None]
        whole = functional.interpolate(
            field / field.abs().max(), size=image.shape, mode="trilinear", align_corners=True
        )
        return image * np.exp(self.bias * whole[0, 0].numpy())

    def _with_thick_slices(
        self, image: np.ndarray, spacing_mm: Sequence[float], rng: np.random.Generator
    ) -> np.ndarray:
        thinner = [axis for axis in range(3) if spacing_mm[axis] < self.thickest_mm]
        if rng.random() >= self.thick_share or not thinner:
            return image
        axis = int(rng.choice(thinner))
        factor = rng.uniform(spacing_mm[axis], self.thickest_mm) / spacing_mm[axis]
        blurred = ndimage.gaussian_filter1d(image, SLICE_BLUR * factor, axis=axis)
        size = [*image.shape]
        size[axis] = max(round(size[axis] / factor), 2)
        sliced = functional.interpolate(torch.from_numpy(blurred)[None, None], size=size, mode="nearest-exact")
        again = functional.interpolate(sliced, size=image.shape, mode="trilinear", align_corners=False)
        found: np.ndarray = again[0, 0].numpy()
        return found

    def _with_ringing(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from monai.transforms import GibbsNoise

        if rng.random() >= self.ringing:
            return image
        return np.asarray(GibbsNoise(alpha=rng.uniform(0.2, 0.5))(torch.from_numpy(image)[None])[0])
