"""Tissue that labels do not tell apart, split by intensity into classes that an image can be made on.

Where ventricles alone are labelled, a label map says nothing of the brain around them; where the brain is one label, it
says nothing of what is within. The image stage would have to guess it. Classes by intensity give it anatomy to hold on
to; a segmentation network never sees them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from synthaug.errors import ConfigurationError
from synthaug.fitting.body import smoothed
from synthaug.labels import UNLABELLED, LabelScheme, Structure, tissue_class_names

CELL = 0.02
"""Edge of a cell of normalised intensities."""

SAMPLES, LEAST_SAMPLES = 20_000, 1000
"""Voxels that the whole body of a case, and each structure in it, tells the classes by."""


@dataclass(frozen=True)
class TissueClasses:
    """Classes of tissue by their mean intensities.

    Attributes:
        centres: normalised intensity of each class by channel, ``(classes, C)``, in ascending order of the first
            channel.
    """

    centres: tuple[tuple[float, ...], ...]

    @classmethod
    def learn(cls, samples: Sequence[np.ndarray], classes: int, what: str = UNLABELLED) -> TissueClasses:
        """Classes by k-means over voxels ``(N, C)`` of all cases, from `sample_tissue`.

        A cell of intensities counts by the square root of its voxels: else bone, which is rare, had no class.

        Raises:
            ConfigurationError: there is nothing to split of ``what``.
        """
        from sklearn.cluster import KMeans

        if not any(len(one) for one in samples):
            key = "unlabelled_classes" if what == UNLABELLED else f"split.{what}"
            reason = "the cases are labelled throughout" if what == UNLABELLED else "no case has a voxel of it"
            raise ConfigurationError(f"{key} is {classes}, and {reason}; set it to 0 or leave it out")
        cells, counts = np.unique(np.rint(np.concatenate(samples) / CELL), axis=0, return_counts=True)
        means = KMeans(min(classes, len(cells)), n_init=4, random_state=0)
        found = means.fit(cells * CELL, sample_weight=np.sqrt(counts)).cluster_centers_
        return cls(tuple(tuple(float(value) for value in centre) for centre in sorted(found.tolist())))

    def classify(self, image: np.ndarray) -> np.ndarray:
        """Nearest class of each voxel, ``(X, Y, Z)`` from 0, of a normalised image ``(C, X, Y, Z)``.

        Classes are in the order of their intensities, so that a median over neighbours removes single voxels.
        """
        smooth = smoothed(image)
        centres = np.array(self.centres, dtype=np.float32)
        distance = np.stack([np.square(smooth - centre[:, None, None, None]).sum(axis=0) for centre in centres])
        return ndimage.median_filter(distance.argmin(axis=0).astype(np.uint8), size=3)


@dataclass(frozen=True)
class TissueSplit:
    """Structures, and tissue without a label, each with the classes that it is split into.

    Attributes:
        structures: label scheme with the ids 1 to N.
        classes: by structure, or `UNLABELLED`; what is not named stays whole.
    """

    structures: LabelScheme
    classes: Mapping[str, TissueClasses]

    @property
    def of_unlabelled(self) -> bool:
        """Whether tissue without a label is split, instead of being background."""
        return UNLABELLED in self.classes

    @property
    def scheme(self) -> LabelScheme:
        """Structures with ids from 1, classes in the place of what they are split from, those of unlabelled tissue
        last. A structure that is split is a group of its classes.
        """
        names = [one for structure in self.structures.names for one in self._parts(structure)]
        mirrors: dict[str, str] = {}
        for structure in self.structures.structures:
            if structure.mirror is not None:
                mirrors.update(zip(self._parts(structure.name), self._parts(structure.mirror), strict=True))
        names += self._parts(UNLABELLED) if self.of_unlabelled else []
        split = {name: tuple(self._parts(name)) for name in self.structures.names if name in self.classes}
        groups = {
            group: tuple(part for member in members for part in self._parts(member))
            for group, members in self.structures.groups.items()
        }
        numbered = tuple(Structure(name, number, mirrors.get(name)) for number, name in enumerate(names, start=1))
        return LabelScheme(self.structures.name, numbered, {**groups, **split})

    def apply(self, label: np.ndarray, image: np.ndarray, body: np.ndarray) -> np.ndarray:
        """Label map ``(X, Y, Z)`` with the ids of `scheme`.

        Args:
            label: ``(X, Y, Z)``, ids of `structures`.
            image: normalised, ``(C, X, Y, Z)``.
            body: ``(X, Y, Z)``, True where there is tissue.
        """
        scheme = self.scheme
        table = np.zeros(len(self.structures.structures) + 1, dtype=np.int16)
        for structure in self.structures.structures:
            table[structure.id] = scheme.id_of(self._parts(structure.name)[0])
        whole = table[label]
        for name, classes in self.classes.items():
            inside = (label == 0) & body if name == UNLABELLED else label == self.structures.id_of(name)
            whole[inside] = scheme.id_of(self._parts(name)[0]) + classes.classify(image)[inside]
        return whole

    def _parts(self, name: str) -> list[str]:
        if name not in self.classes:
            return [name]
        return tissue_class_names(name, len(self.classes[name].centres))


def sample_tissue(smooth: np.ndarray, inside: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Intensities ``(N, C)`` of some voxels of a part of the body.

    Args:
        smooth: normalised and `smoothed`, ``(C, X, Y, Z)``.
        inside: ``(X, Y, Z)``, True in that part.
        share: of the body that the part is; large ones are sampled more.
        rng: chooses the voxels.
    """
    voxels = smooth[:, inside].T
    return voxels[rng.permutation(len(voxels))[: max(int(share * SAMPLES), LEAST_SAMPLES)]]
