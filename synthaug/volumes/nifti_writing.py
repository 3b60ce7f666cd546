"""NIfTI files written whole or not at all."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from synthaug.errors import GeometryError, SynthAugError
from synthaug.files.atomic import replace_file
from synthaug.volumes.geometry import check_affine

_COMPRESSION = 3
"""gzip level: twice as fast as the usual 6 on label maps and images, for a few per cent of size."""


def write_image(path: str | Path, image: np.ndarray, affine: np.ndarray, *, keep_equal: bool = False) -> None:
    """Write an image as float32.

    Args:
        path: ``.nii`` or ``.nii.gz``; an existing file is replaced when the new one is complete.
        image: ``(C, X, Y, Z)`` or ``(X, Y, Z)``; one channel is written as 3D, several as a fourth dimension.
        affine: ``(4, 4)``, voxel to mm, RAS+.
        keep_equal: leave a file alone that holds the same, every byte of it read; reading is faster than writing.

    Raises:
        GeometryError: another number of dimensions, or an unusable affine.
        SynthAugError: another file type, or a folder that cannot be written.
    """
    if image.ndim not in (3, 4):
        raise GeometryError(f"{path}: image of shape {image.shape}; allowed: (C, X, Y, Z) or (X, Y, Z)")
    channels_last = np.moveaxis(image, 0, -1) if image.ndim == 4 else image[..., None]
    data = channels_last[..., 0] if channels_last.shape[-1] == 1 else channels_last
    _write(Path(path), np.asarray(data, dtype=np.float32), affine, keep_equal)


def write_label(path: str | Path, label: np.ndarray, affine: np.ndarray, *, keep_equal: bool = False) -> None:
    """Write a label map as int16.

    Args:
        path: ``.nii`` or ``.nii.gz``; an existing file is replaced when the new one is complete.
        label: integer ``(X, Y, Z)``, 0 to 32767.
        affine: ``(4, 4)``, voxel to mm, RAS+.
        keep_equal: leave a file alone that holds the same, every byte of it read; reading is faster than writing.

    Raises:
        GeometryError: another number of dimensions, numbers outside int16, or an unusable affine.
        SynthAugError: another file type, or a folder that cannot be written.
    """
    if label.ndim != 3 or label.dtype.kind not in "iu":
        raise GeometryError(
            f"{path}: label of shape {label.shape} and type {label.dtype}; allowed: (X, Y, Z) of integers"
        )
    if label.size and (label.min() < 0 or label.max() > np.iinfo(np.int16).max):
        raise GeometryError(f"{path}: labels from {label.min()} to {label.max()}; allowed: 0 to 32767")
    _write(Path(path), label.astype(np.int16, copy=False), affine, keep_equal)


def _write(path: Path, data: np.ndarray, affine: np.ndarray, keep_equal: bool) -> None:
    if not path.name.endswith((".nii", ".nii.gz")):
        raise SynthAugError(f"{path}: file type {path.suffix or '(none)'}; allowed: .nii or .nii.gz")
    affine = np.asarray(affine, dtype=np.float64)
    check_affine(affine, str(path))
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    if not np.allclose(image.get_qform(), affine, atol=1e-4):
        image.set_qform(None, code=0)  # a sheared grid has no quaternion form: two affines that differ confuse readers
    content = image.to_bytes()
    if keep_equal and _holds(path, content):
        return
    if path.name.endswith(".gz"):
        content = gzip.compress(content, compresslevel=_COMPRESSION, mtime=0)  # no time: equal arrays, equal files
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise SynthAugError(
            f"{path}: cannot be written ({error.strerror or error}); check folder, space and permissions"
        ) from error


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file, which may be damaged, has a content once it is unpacked."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else open(path, "rb") as file:
            return bool(file.read(len(content) + 1) == content)
    except (OSError, EOFError, zlib.error):
        return False
