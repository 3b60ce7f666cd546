"""Anatomy of label maps: is everything there, in one piece, in its place, and of the size that real brains have?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synthaug.anatomy import StructureMeasures
from synthaug.anatomy.envelope import MOST_EXPOSED, beyond_envelope
from synthaug.anatomy.normal_range import ventricle_ids
from synthaug.labels import LabelScheme
from synthaug.quality.checks import main_component_fraction

MAIN_SHARE = 0.98
"""Share of a lateral ventricle's voxels that its main component holds at least."""


@dataclass(frozen=True)
class Anatomy:
    """What one label map shows.

    Attributes:
        name: the case.
        measures: volumes and contacts of its structures.
        main_shares: share of its voxels in its main component, by lateral ventricle.
        exposed_voxels: ventricle voxels outside the brain: at the surface of its envelope, or apart from it.
    """

    name: str
    measures: StructureMeasures
    main_shares: Mapping[str, float]
    exposed_voxels: int

    @classmethod
    def of(cls, name: str, label: np.ndarray, scheme: LabelScheme, voxel_ml: float) -> Anatomy:
        """Look at a label map ``(X, Y, Z)`` whose voxels have ``voxel_ml`` mL."""
        ventricles = np.isin(label, ventricle_ids(scheme))
        lateral = [one for one in scheme.names if one in scheme.groups.get("lateral_ventricles", ())]
        return cls(
            name,
            StructureMeasures.of(label, scheme, voxel_ml),
            {one: main_component_fraction(label == scheme.id_of(one)) for one in lateral},
            int(np.count_nonzero(ventricles & beyond_envelope(label, ventricles))),
        )

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong whatever real brains look like."""
        found = [f"{one} is missing" for one in self.measures.missing]
        found += [
            f"{one}: {share:.0%} in its main component" for one, share in self.main_shares.items() if share < MAIN_SHARE
        ]
        if self.exposed_voxels > MOST_EXPOSED:
            found.append(f"{self.exposed_voxels} ventricle voxels outside the brain")
        return tuple(found)
