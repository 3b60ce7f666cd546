"""The interior of an inflated fluid space given the look of fluid.

A slit-like ventricle has hardly a voxel without tissue in it. A warp stretches these mixed greys over the whole
inflated interior, where a really enlarged ventricle is dark: partial volume belongs to the border alone.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

FLUID_PERCENTILE = 10.0
"""Of a fluid space's own intensities: those of voxels that hold fluid and nothing else."""

BORDER_MM = (0.75, 2.5)
"""Nearer to the border than the first the image stays as it is, beyond the second all is fluid."""


def fill_fluid(
    image: np.ndarray, inside: np.ndarray, own: np.ndarray, *, spacing_mm: tuple[float, float, float], seed: int
) -> np.ndarray:
    """Image with a fluid space's interior at the intensity of its own fluid, and the noise of its surroundings.

    Args:
        image: ``(X, Y, Z)`` float32, after the warp.
        inside: ``(X, Y, Z)``, the fluid space after the warp.
        own: intensities of the same space before the warp, ``(voxels,)``; the lowest are taken for fluid, as in T1.
        spacing_mm: voxel edge lengths.
        seed: of the noise.

    Returns:
        ``(X, Y, Z)`` float32; outside the fluid space not a bit differs.
    """
    if not inside.any() or not len(own):
        return image
    depth = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
    first, last = BORDER_MM
    share = np.clip((depth - first) / (last - first), 0, 1).astype(np.float32)
    rough = image - ndimage.uniform_filter(image, 3)
    # A third: what is rough near a border is mostly the border.
    noise = float(np.median(np.abs(rough[inside]))) / 3
    fluid = float(np.percentile(own, FLUID_PERCENTILE))
    drawn = np.random.default_rng(seed).normal(fluid, max(noise, 1e-6), image.shape)
    # Fluid is no darker than the darkest that the image has there: background is 0 and nothing else is.
    filled = np.maximum(drawn, float(own.min())).astype(np.float32)
    return np.where(share > 0, (1 - share) * image + share * filled, image).astype(np.float32)


def fill_fluid_channels(
    image: np.ndarray,
    inside: np.ndarray,
    before: np.ndarray,
    inside_before: np.ndarray,
    *,
    spacing_mm: tuple[float, float, float],
    seed: int,
) -> np.ndarray:
    """Image ``(C, X, Y, Z)`` with a fluid space filled in every channel, each from its own fluid; see `fill_fluid`.

    Args:
        image: after the warp.
        inside: ``(X, Y, Z)``, the fluid space after it.
        before: ``(C, X, Y, Z)``, the image before it.
        inside_before: ``(X, Y, Z)``, the fluid space before it.
        spacing_mm: voxel edge lengths.
        seed: of the noise.
    """
    return np.stack(
        [
            fill_fluid(warped, inside, original[inside_before], spacing_mm=spacing_mm, seed=seed)
            for warped, original in zip(image, before, strict=True)
        ]
    )
