"""Fingerprints of arrays by content."""

from __future__ import annotations

import hashlib

import numpy as np

LEAST_LABELLED = 32
"""Voxels: label maps with fewer labelled ones, or with none, may be the same for different patients."""


def fingerprint_label(label: np.ndarray) -> str | None:
    """`fingerprint_array` of a label map, or None where too few voxels are labelled to tell it from another patient's.

    Args:
        label: RAS+ ``(X, Y, Z)``.
    """
    return fingerprint_array(label) if np.count_nonzero(label) >= LEAST_LABELLED else None


def fingerprint_array(array: np.ndarray) -> str:
    """SHA-256 of an image or label map, equal for renamed, re-oriented and differently padded copies of it.

    The array is cropped to the box of its non-zero voxels (over all channels); shape and little-endian float32 values
    of that box are hashed. Re-oriented copies agree because `read_image` and `read_label` give RAS+ order.

    Args:
        array: RAS+ ``(X, Y, Z)`` or ``(C, X, Y, Z)``; one channel with or without its axis has one fingerprint.

    Returns:
        64 hexadecimal digits.

    Raises:
        ValueError: another number of dimensions.
    """
    if array.ndim not in (3, 4):
        raise ValueError(f"array of shape {array.shape}; allowed: (X, Y, Z) or (C, X, Y, Z)")
    channels = array if array.ndim == 4 else array[None]
    occupied = (channels != 0).any(axis=0)
    box: list[slice] = []
    for axis in range(3):
        lines = np.flatnonzero(occupied.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(int(lines[0]), int(lines[-1]) + 1) if lines.size else slice(0, 0))
    cropped = np.ascontiguousarray(channels[(slice(None), *box)], dtype="<f4")
    cropped = cropped + np.float32(0)  # -0.0 becomes 0.0
    digest = hashlib.sha256(np.array(cropped.shape, dtype="<i8").tobytes())
    digest.update(cropped.reshape(-1).data)
    return digest.hexdigest()
