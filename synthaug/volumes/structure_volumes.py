"""Volumes of structures and groups in a label map."""

from __future__ import annotations

import numpy as np

from synthaug.labels import LabelScheme, count_labels


def structure_volumes_ml(label: np.ndarray, scheme: LabelScheme, voxel_volume_ml: float) -> dict[str, float]:
    """Volume of every structure and of every group of a scheme.

    Args:
        label: integer label map of any shape.
        scheme: its label scheme.
        voxel_volume_ml: volume of one voxel in mL (1 mm isotropic: 0.001).

    Returns:
        mL by name, structures first, then groups; 0 for what is absent.
    """
    counts = count_labels(label)
    names = scheme.names + tuple(scheme.groups)
    return {name: sum(counts.get(number, 0) for number in scheme.resolve(name)) * voxel_volume_ml for name in names}
