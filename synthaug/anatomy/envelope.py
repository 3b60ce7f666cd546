"""The brain's envelope: what lies within it, and what at its surface."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

CLEFT_VOXELS = 8
"""Clefts without a label, up to this wide, belong to the brain."""

MOST_EXPOSED = 40
"""Ventricle voxels at the surface of the brain or beyond that are no fault: real label maps of 1 mm have up to 37."""


def beyond_envelope(label: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Voxels ``(X, Y, Z)`` bool, of a structure and around it, at the surface of the brain's envelope or beyond.

    The envelope is the main component of all structures, clefts up to `CLEFT_VOXELS` wide closed: real label maps leave
    the fluid around the third and fourth ventricle unlabelled, which therefore is no surface.

    Args:
        label: label map ``(X, Y, Z)``, 0 in the background.
        inside: where the structure is, ``(X, Y, Z)`` bool; what is further from it than `CLEFT_VOXELS` is left out.
    """
    beyond = np.zeros(label.shape, dtype=bool)
    if not inside.any():
        return beyond
    pieces, count = ndimage.label(label > 0)
    main = 1 + int(np.argmax(np.bincount(pieces.reshape(-1))[1:])) if count > 1 else 1
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    wide = 2 * CLEFT_VOXELS
    # the rim of the box would be eroded as if there were nothing behind it
    near = tuple(slice(max(one.start - wide, 0), one.stop + wide) for one in box)
    brain = np.pad(pieces[near] == main, wide)
    enclosed = ndimage.binary_erosion(ndimage.binary_closing(brain, iterations=-(-CLEFT_VOXELS // 2)))
    trusted = tuple(slice(max(one.start - CLEFT_VOXELS, 0), one.stop + CLEFT_VOXELS) for one in box)
    kept = np.zeros(label.shape, dtype=bool)
    kept[near] = ~enclosed[(slice(wide, -wide),) * 3]
    beyond[trusted] = kept[trusted]
    return beyond
