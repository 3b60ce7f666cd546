"""How often each label occurs in a label map."""

from __future__ import annotations

import numpy as np

_LARGEST_TABLE = 1 << 16
_CHUNK = 1 << 20


def count_labels(label: np.ndarray) -> dict[int, int]:
    """Voxels of each id, in ascending order of ids.

    Args:
        label: integer array of any shape.

    Raises:
        TypeError: not an integer array.
    """
    if label.dtype.kind not in "iu":
        raise TypeError(f"label maps are integer arrays, not {label.dtype}")
    if label.size == 0:
        return {}
    if label.min() >= 0 and label.max() < _LARGEST_TABLE:
        # counting is several times faster than the sorting that numpy.unique does; chunks keep the int64 copy small
        counts = np.zeros(int(label.max()) + 1, dtype=np.int64)
        flat = label.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            counts += np.bincount(flat[start : start + _CHUNK].astype(np.int64), minlength=len(counts))
        return {int(number): int(counts[number]) for number in np.flatnonzero(counts)}
    numbers, occurrences = np.unique(label, return_counts=True)
    return {int(number): int(count) for number, count in zip(numbers, occurrences, strict=True)}
