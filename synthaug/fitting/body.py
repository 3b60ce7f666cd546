"""Where the body is in an image, and what is around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from scipy import ndimage

EXACT_SHARE = 0.95
"""Of the image's outer faces: if so much of them is exactly the background, so is all that is no body."""

LEAST_PIECE = 0.3
"""Smaller pieces, as shares of the largest, are no limbs but what lies about."""

SMOOTHING_VOXELS = 0.7


def background_of(image: np.ndarray) -> tuple[float, ...]:
    """Intensity around the body, by channel, of an image ``(C, X, Y, Z)``: the medians over its darkest corner."""
    corners = [[float(np.median(channel[corner])) for channel in image] for corner in _corners(image.shape[1:])]
    return tuple(min(corners, key=sum))


def body_of(image: np.ndarray, background: Sequence[float], labelled: np.ndarray) -> np.ndarray:
    """Voxels ``(X, Y, Z)`` of the body, holes included: all that is no background.

    An image whose darkest corner looks like the middle of what is labelled shows nothing but body.

    Args:
        image: ``(C, X, Y, Z)``.
        background: intensity around the body, by channel.
        labelled: ``(X, Y, Z)`` bool; belongs to the body whatever it looks like.
    """
    around = np.array(background, dtype=np.float32)[:, None, None, None]
    differs = (image != around).any(axis=0)
    if np.concatenate(list(_faces(differs))).mean() <= 1 - EXACT_SHARE:
        body = differs
    elif _like_tissue(image, background, labelled):
        return np.ones_like(labelled)
    else:
        body = _stands_out(image, around)
    return _filled(_main_pieces(body | labelled, labelled))


def smoothed(image: np.ndarray) -> np.ndarray:
    """Image ``(C, X, Y, Z)`` with less of its noise, float32."""
    return np.stack([ndimage.gaussian_filter(one.astype(np.float32), SMOOTHING_VOXELS) for one in image])


def _like_tissue(image: np.ndarray, background: Sequence[float], labelled: np.ndarray) -> bool:
    if not labelled.any():
        return False
    middles = (np.percentile(channel[labelled], (25, 75)) for channel in image)
    return all(low <= value <= high for value, (low, high) in zip(background, middles, strict=True))


def _stands_out(image: np.ndarray, around: np.ndarray) -> np.ndarray:
    from skimage.filters import threshold_otsu

    contrast = np.abs(smoothed(image) - around)
    contrast /= np.percentile(contrast, 99.0, axis=(1, 2, 3), keepdims=True).clip(min=1e-6)
    strongest = contrast.max(axis=0).clip(max=1.0)
    found: np.ndarray = strongest > threshold_otsu(strongest)
    return found


def _main_pieces(body: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Large pieces, and what is labelled: not the table beneath the patient."""
    pieces, count = ndimage.label(body)
    if count < 2:
        return body
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept: np.ndarray = (sizes >= LEAST_PIECE * sizes.max())[pieces] | labelled
    return kept


def _filled(body: np.ndarray) -> np.ndarray:
    """Holes filled slice by slice, since airways lead out of the body."""
    return np.stack([ndimage.binary_fill_holes(body[:, :, index]) for index in range(body.shape[2])], axis=2)


def _corners(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    edges = [max(2, size // 16) for size in shape]
    yield from product(*((slice(0, edge), slice(-edge, None)) for edge in edges))


def _faces(mask: np.ndarray) -> Iterator[np.ndarray]:
    for axis in range(3):
        for end in (0, -1):
            yield np.take(mask, end, axis).ravel()
