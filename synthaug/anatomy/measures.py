"""Volumes and contacts of the structures in a label map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from synthaug.anatomy.faces import contact_shares, count_faces
from synthaug.labels import BACKGROUND, LabelScheme
from synthaug.labels.label_counts import count_labels

FEWEST_VOXELS = 10
"""A structure with fewer voxels is missing."""


@dataclass(frozen=True)
class StructureMeasures:
    """Volumes and contacts of the structures in one label map.

    Attributes:
        volumes_ml: volume of every structure.
        missing: structures with fewer than `FEWEST_VOXELS` voxels.
        contacts: by ``(structure, neighbour)``, the share of the structure's outer faces that the neighbour (or the
            background) has.
    """

    volumes_ml: Mapping[str, float]
    missing: tuple[str, ...]
    contacts: Mapping[tuple[str, str], float]

    @classmethod
    def of(cls, label: np.ndarray, scheme: LabelScheme, voxel_ml: float) -> StructureMeasures:
        """Measure a label map ``(X, Y, Z)`` whose voxels have ``voxel_ml`` mL; other ids are background."""
        counts = count_labels(label)
        voxels = {name: counts.get(scheme.id_of(name), 0) for name in scheme.names}
        return cls(
            {name: count * voxel_ml for name, count in voxels.items()},
            tuple(name for name, count in voxels.items() if count < FEWEST_VOXELS),
            _contacts(label, scheme),
        )


def _contacts(label: np.ndarray, scheme: LabelScheme) -> dict[tuple[str, str], float]:
    names = (BACKGROUND, *scheme.names)
    place = np.zeros(max(scheme.ids) + 1, dtype=np.int64)
    place[list(scheme.ids)] = np.arange(1, len(names))
    compact = place[np.where(label <= max(scheme.ids), label, 0)]
    shares = contact_shares(count_faces(torch.from_numpy(compact), len(names))).tolist()
    return {
        (name, neighbour): shares[row][column]
        for row, name in enumerate(names)
        for column, neighbour in enumerate(names)
        if row > 0 and row != column
    }
