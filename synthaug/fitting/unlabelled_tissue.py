"""Tissue that a dataset does not label, split by intensity into classes that an image can be made on.

Where ventricles alone are labelled, a label map says nothing of the brain around them, and the image stage would have
to guess it. Classes by intensity give it anatomy to hold on to; a segmentation network never sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from synthaug.errors import ConfigurationError
from synthaug.fitting.body import smoothed
from synthaug.labels import LabelScheme, Structure

UNLABELLED = "unlabelled_"
"""Beginning of the classes' names. Mappings to a dataset drop them, since it has no structures of these names."""

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

        Raises:
            ConfigurationError: there is nothing to split.
        """
        from sklearn.cluster import KMeans

        if not any(len(one) for one in samples):
            raise ConfigurationError(
                f"unlabelled_classes is {classes}, and the cases are labelled throughout; set it to 0"
            )
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
        smooth = smoothed(image)
        centres = np.array(self.centres, dtype=np.float32)
        distance = np.stack([np.square(smooth - centre[:, None, None, None]).sum(axis=0) for centre in centres])
        return ndimage.median_filter(distance.argmin(axis=0).astype(np.uint8), size=3)


def sample_tissue(image: np.ndarray, unlabelled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normalised intensities ``(N, C)`` of some voxels, ``(X, Y, Z)`` True in a ``(C, X, Y, Z)`` image."""
    voxels = smoothed(image)[:, unlabelled].T
    return voxels[rng.permutation(len(voxels))[:SAMPLES]]
