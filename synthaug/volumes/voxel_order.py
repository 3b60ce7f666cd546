"""The way back from RAS+ order to the voxel order of a file."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations


def stored_affine(path: Path) -> np.ndarray:
    """Voxel-to-mm matrix, float64 ``(4, 4)``, of a file's voxels in the order in which it keeps them.

    The file is one that `read_image` or `read_label` has read, so that its header is known to be sound.
    """
    return np.asarray(nib.load(path).affine, dtype=np.float64)  # type: ignore[attr-defined]


def to_voxel_order(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Bring an array that was read in RAS+ order back into the order of its file.

    Args:
        array: ``(X, Y, Z)`` or ``(C, X, Y, Z)``, closest to RAS+.
        affine: of the file, from `stored_affine`.

    Returns:
        ``(I, J, K)`` or ``(C, I, J, K)`` along the file's axes.
    """
    transform = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), orientations.io_orientation(affine))
    if array.ndim == 3:
        return np.asarray(orientations.apply_orientation(array, transform))
    # channels last: axes after the third are left alone
    return np.moveaxis(orientations.apply_orientation(np.moveaxis(array, 0, -1), transform), -1, 0)
