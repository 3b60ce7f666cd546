"""Tissue that a dataset does not label, split by intensity into classes that an image can be made on.

Where ventricles alone are labelled, a label map says nothing of the brain around them, and the image stage would have
to guess it. Classes by intensity give it anatomy to hold on to; a segmentation network never sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from synthaug.labels import LabelScheme, Structure

UNLABELLED = "unlabelled_"
"""Beginning of the classes' names; no dataset has structures of these names, so that all mappings drop them."""

EXACT_SHARE = 0.05
"""A background of one exact intensity in at least this share of the voxels needs no threshold."""

SMOOTHING_VOXELS = 0.7
CELL = 0.02
"""Edge of a cell of normalised intensities."""

SAMPLES = 20_000
"""Voxels that each case tells the classes by."""


@dataclass(frozen=True)
class UnlabelledTissue:
    """Classes of unlabelled tissue by their mean intensities.

    Attributes:
        centres: normalised intensity of each class by channel, ``(classes, C)``, in ascending order of the first
            channel.
    """

    centres: tuple[tuple[float, ...], ...]

    @classmethod
    def learn(cls, samples: Sequence[np.ndarray], classes: int) -> UnlabelledTissue:
        """Classes by k-means over voxels ``(N, C)`` of all cases, from `sample_tissue`.

        A cell of intensities counts by the square root of its voxels: else bone, which is rare, had no class.
        """
        from sklearn.cluster import KMeans

        cells, counts = np.unique(np.rint(np.concatenate(samples) / CELL), axis=0, return_counts=True)
        means = KMeans(min(classes, len(cells)), n_init=4, random_state=0)
        found = means.fit(cells * CELL, sample_weight=np.sqrt(counts)).cluster_centers_
        return cls(tuple(tuple(float(value) for value in centre) for centre in sorted(found.tolist())))

    def extend(self, scheme: LabelScheme) -> LabelScheme:
        """A scheme with ids 1 to N and the classes behind its own structures."""
        first = len(scheme.structures) + 1
        added = [Structure(f"{UNLABELLED}{number + 1}", first + number) for number in range(len(self.centres))]
        return LabelScheme(scheme.name, (*scheme.structures, *added), scheme.groups)

    def classify(self, image: np.ndarray) -> np.ndarray:
        """Nearest class of each voxel, ``(X, Y, Z)`` from 0, of a normalised image ``(C, X, Y, Z)``.

        Classes are in the order of their intensities, so that a median over neighbours removes single voxels.
        """
        smooth = _smoothed(image)
        centres = np.array(self.centres, dtype=np.float32)
        distance = np.stack([np.square(smooth - centre[:, None, None, None]).sum(axis=0) for centre in centres])
        return ndimage.median_filter(distance.argmin(axis=0).astype(np.uint8), size=3)


def sample_tissue(image: np.ndarray, unlabelled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normalised intensities ``(N, C)`` of some voxels, ``(X, Y, Z)`` True in a ``(C, X, Y, Z)`` image."""
    voxels = _smoothed(image)[:, unlabelled].T
    return voxels[rng.permutation(len(voxels))[:SAMPLES]]


def background_of(image: np.ndarray) -> tuple[float, ...]:
    """Intensity around the body, by channel, of an image ``(C, X, Y, Z)``: the median over its outer faces."""
    return tuple(float(np.median(np.concatenate(list(_faces(channel))))) for channel in image)


def body_of(image: np.ndarray, background: Sequence[float], labelled: np.ndarray) -> np.ndarray:
    """Voxels ``(X, Y, Z)`` of the body, holes included: all that is no background.

    Args:
        image: ``(C, X, Y, Z)``.
        background: intensity around the body, by channel.
        labelled: ``(X, Y, Z)`` bool; belongs to the body whatever it looks like.
    """
    from skimage.filters import threshold_otsu

    around = np.array(background, dtype=np.float32)[:, None, None, None]
    exact = (image == around).all(axis=0)
    if exact.mean() >= EXACT_SHARE:
        body = ~exact
    else:
        contrast = np.abs(_smoothed(image) - around)
        contrast /= np.percentile(contrast, 99.0, axis=(1, 2, 3), keepdims=True).clip(min=1e-6)
        strongest = contrast.max(axis=0).clip(max=1.0)
        body = strongest > threshold_otsu(strongest)
    body |= labelled
    pieces, count = ndimage.label(body)
    if count > 1:  # not the table beneath the patient
        body = (pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax())) | labelled
    filled = body.copy()
    for index in range(body.shape[2]):  # slice by slice: airways lead out of the body
        filled[:, :, index] = ndimage.binary_fill_holes(body[:, :, index])
    return filled


def _smoothed(image: np.ndarray) -> np.ndarray:
    return np.stack([ndimage.gaussian_filter(one.astype(np.float32), SMOOTHING_VOXELS) for one in image])


def _faces(channel: np.ndarray) -> Iterator[np.ndarray]:
    for axis in range(3):
        for end in (0, -1):
            yield np.take(channel, end, axis).ravel()
