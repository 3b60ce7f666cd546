"""Anatomy of label maps: is everything there, in one piece, in its place, and of the size that real brains have?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthaug.labels import LabelScheme
from synthaug.labels.label_counts import count_labels
from synthaug.quality.checks import main_component_fraction

MAIN_SHARE = 0.98
"""Share of a lateral ventricle's voxels that its main component holds at least."""

FEWEST_VOXELS = 10
"""A structure with fewer voxels is missing."""


MOST_EXPOSED = 40
"""Ventricle voxels outside the brain that are no fault: real label maps of 1 mm have up to 37."""

CLEFT_VOXELS = 8
"""Unlabelled clefts up to this wide belong to the brain."""


@dataclass(frozen=True)
class Anatomy:
    """What one label map shows.

    Attributes:
        name: the case.
        volumes_ml: volume of every structure.
        missing: structures with fewer than `FEWEST_VOXELS` voxels.
        main_shares: share of its voxels in its main component, by lateral ventricle.
        exposed_voxels: ventricle voxels outside the brain: at the surface of its envelope, or apart from it.
        contacts: by ``structure|neighbour``, the share of the structure's outer faces that the neighbour (or
            background) has.
    """

    name: str
    volumes_ml: Mapping[str, float]
    missing: tuple[str, ...]
    main_shares: Mapping[str, float]
    exposed_voxels: int
    contacts: Mapping[str, float]

    @classmethod
    def of(cls, name: str, label: np.ndarray, scheme: LabelScheme, voxel_ml: float) -> Anatomy:
        """Look at a label map ``(X, Y, Z)`` whose voxels have ``voxel_ml`` mL."""
        counts = count_labels(label)
        voxels = {one: counts.get(scheme.id_of(one), 0) for one in scheme.names}
        lateral = [one for one in scheme.names if one in scheme.groups.get("lateral_ventricles", ())]
        return cls(
            name,
            {one: count * voxel_ml for one, count in voxels.items()},
            tuple(one for one, count in voxels.items() if count < FEWEST_VOXELS),
            {one: main_component_fraction(label == scheme.id_of(one)) for one in lateral},
            _exposed(label, scheme.resolve("ventricles")) if "ventricles" in scheme.groups else 0,
            _contacts(label, scheme),
        )

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong whatever real brains look like."""
        found = [f"{one} is missing" for one in self.missing]
        found += [
            f"{one}: {share:.0%} in its main component" for one, share in self.main_shares.items() if share < MAIN_SHARE
        ]
        if self.exposed_voxels > MOST_EXPOSED:
            found.append(f"{self.exposed_voxels} ventricle voxels outside the brain")
        return tuple(found)


def _exposed(label: np.ndarray, ventricles: Sequence[int]) -> int:
    """Ventricle voxels at the surface of the brain's envelope, or apart from it.

    The envelope is the main component of all structures, with clefts up to `CLEFT_VOXELS` wide closed: real label maps
    leave the fluid around the third and fourth ventricle unlabelled, and that is no fault.
    """
    from scipy import ndimage

    inside = np.isin(label, list(ventricles))
    if not inside.any():
        return 0
    pieces, count = ndimage.label(np.pad(label > 0, CLEFT_VOXELS))
    main = 1 + int(np.argmax(np.bincount(pieces.reshape(-1))[1:])) if count > 1 else 1
    reach = -(-CLEFT_VOXELS // 2)
    envelope = ndimage.binary_closing(pieces == main, iterations=reach)
    enclosed = ndimage.binary_erosion(envelope)[(slice(CLEFT_VOXELS, -CLEFT_VOXELS),) * 3]
    return int(np.count_nonzero(inside & ~enclosed))


def _contacts(label: np.ndarray, scheme: LabelScheme) -> dict[str, float]:
    """Share of each structure's outer faces by neighbour."""
    names = ("background", *scheme.names)
    place = np.zeros(max(scheme.ids) + 1, dtype=np.int64)
    place[list(scheme.ids)] = np.arange(1, len(names))
    compact = place[np.where(label <= max(scheme.ids), label, 0)]
    faces = np.zeros((len(names), len(names)), dtype=np.int64)
    for axis in range(3):
        one = np.take(compact, range(compact.shape[axis] - 1), axis)
        other = np.take(compact, range(1, compact.shape[axis]), axis)
        border = one != other
        pairs = np.bincount(one[border] * len(names) + other[border], minlength=faces.size).reshape(faces.shape)
        faces += pairs + pairs.T
    totals = faces.sum(1).clip(min=1)
    return {
        f"{names[row]}|{names[column]}": float(faces[row, column] / totals[row])
        for row in range(1, len(names))
        for column in range(len(names))
        if row != column
    }
