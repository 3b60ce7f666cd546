"""NIfTI files read into arrays in RAS+ order, with every doubt raised before it costs memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from synthaug.errors import GeometryError, LabelError, SynthAugError
from synthaug.labels import LabelScheme
from synthaug.volumes.geometry import check_affine, check_same_grid
from synthaug.volumes.labeled_volume import LabeledVolume
from synthaug.volumes.nifti_bounds import check_data_size, check_header_size

MAX_VOXELS = 2**30
"""More voxels than this (1024 x 1024 x 1024, 4 GiB as float32) are refused from the header, before data is read."""

LABEL_ROUNDING = 1e-4
"""Labels stored as scaled or floating-point numbers may be this far from a whole number."""

_UNREADABLE = (
    OSError, EOFError, MemoryError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error,
    zlib.error, nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError,
    nib.spatialimages.HeaderTypeError, nib.spatialimages.ImageDataError,
)  # fmt: skip
"""What nibabel raises for damaged files; a header can be wrong in more ways than it looks for."""


def read_image(path: str | Path, *, multichannel: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Read an image.

    Args:
        path: NIfTI file.
        multichannel: whether a fourth dimension is taken as channels; otherwise only 3D is (a trailing 1 is dropped).

    Returns:
        float32 ``(C, X, Y, Z)`` in closest-canonical RAS+ order, and its affine, float64 ``(4, 4)``, voxel to mm.

    Raises:
        SynthAugError: missing or unreadable, truncated data included.
        GeometryError: 4D where 3D is due, an unusable affine, too many voxels, NaN or infinite intensities.
    """
    file = Path(path)
    image = _open_canonical(file, multichannel=multichannel)
    data = _read_data(image, file, np.float32)
    if not np.isfinite(data).all():
        count = int((~np.isfinite(data)).sum())
        raise GeometryError(
            f"{file}: {count} of {data.size} intensities are NaN or infinite (as float32); allowed: finite ones only; "
            "replace them by a background value"
        )
    return np.ascontiguousarray(np.moveaxis(data, 3, 0)), np.asarray(image.affine, dtype=np.float64)


def read_label(path: str | Path, scheme: LabelScheme | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read a label map.

    Args:
        path: NIfTI file.
        scheme: where given, labels outside it are refused.

    Returns:
        int16 ``(X, Y, Z)`` in closest-canonical RAS+ order, and its affine, float64 ``(4, 4)``, voxel to mm.

    Raises:
        SynthAugError: missing or unreadable, truncated data included.
        GeometryError: 4D, an unusable affine, too many voxels.
        LabelError: numbers that are not whole or not between 0 and 32767, or labels outside the scheme.
    """
    file = Path(path)
    image = _open_canonical(file, multichannel=False)
    label = _whole_numbers(_read_data(image, file, None)[..., 0], file)
    if scheme is not None:
        scheme.check(label, str(file))
    return np.ascontiguousarray(label), np.asarray(image.affine, dtype=np.float64)


def read_pair(
    image_paths: Sequence[str | Path], label_path: str | Path, scheme: LabelScheme, channels: Sequence[str]
) -> LabeledVolume:
    """Read the channels of a case and its label map.

    Args:
        image_paths: one 3D file for each channel.
        label_path: the label map.
        scheme: what its labels mean.
        channels: name of each channel.

    Raises:
        SynthAugError: as `read_image` and `read_label`.
        GeometryError: shapes or affines differ, or there are more or fewer files than channels.
        LabelError: labels outside the scheme.
    """
    if len(image_paths) != len(channels) or not channels:
        raise GeometryError(
            f"{label_path}: {len(image_paths)} image files for the channels {', '.join(channels) or '(none)'}; "
            "give one file for each channel"
        )
    label, affine = read_label(label_path, scheme)
    images = []
    for path in image_paths:
        image, image_affine = read_image(path)
        check_same_grid(image.shape[1:], image_affine, label.shape, affine, f"{path} and {label_path}")
        images.append(image)
    provenance = {"image": [str(path) for path in image_paths], "label": str(label_path)}
    return LabeledVolume(np.concatenate(images), label, affine, scheme, tuple(channels), provenance)


def _open_canonical(path: Path, *, multichannel: bool) -> Any:
    if not path.is_file():
        raise SynthAugError(f"{path}: no such file; check the path")
    check_header_size(path)
    try:
        image = nib.load(path)
    except _UNREADABLE as error:
        raise SynthAugError(
            f"{path}: cannot be read as NIfTI ({_one_line(error)}); write it as .nii or .nii.gz"
        ) from error
    if not isinstance(image, (nib.Nifti1Image, nib.Nifti1Pair)):  # NIfTI-2 derives from these
        raise SynthAugError(f"{path}: is {type(image).__name__}; allowed: NIfTI (.nii or .nii.gz): convert it")
    shape = tuple(int(size) for size in image.shape)
    _check_shape(shape, path, multichannel=multichannel)
    check_data_size(image, path)
    if image.get_data_dtype().kind not in "iuf":
        raise SynthAugError(f"{path}: voxels are {image.get_data_dtype()}; allowed: whole or real numbers, one a voxel")
    affine = np.asarray(image.affine, dtype=np.float64)
    check_affine(affine, str(path))
    try:
        return nib.as_closest_canonical(image)  # reads the data of an image that is not RAS+
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def _check_shape(shape: tuple[int, ...], path: Path, *, multichannel: bool) -> None:
    extra = [size for size in shape[3:] if size != 1]
    if len(shape) < 3 or (extra and not (multichannel and len(extra) == 1 and shape[3] == extra[0])):
        allowed = "(X, Y, Z) or (X, Y, Z, channels)" if multichannel else "(X, Y, Z)"
        raise GeometryError(f"{path}: shape {shape}; allowed: {allowed}: split it into one 3D file each")
    voxels = 1
    for size in shape:  # Python integers: a hostile header cannot overflow them
        voxels *= size
    if min(shape) < 1 or voxels > MAX_VOXELS:
        raise GeometryError(
            f"{path}: shape {shape}; allowed: 1 to {MAX_VOXELS} voxels; crop or resample the volume, or mend the header"
        )


def _read_data(image: Any, path: Path, dtype: type[np.float32] | None) -> np.ndarray:
    """Data as ``(X, Y, Z, C)``."""
    try:
        # a scaled or float64 value beyond float32 becomes infinite, which the caller refuses by name
        with np.errstate(over="ignore"):
            data = np.asanyarray(image.dataobj) if dtype is None else image.get_fdata(dtype=dtype, caching="unchanged")
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    return data.reshape(data.shape[:3] + (-1,))


def _damaged(path: Path, error: BaseException) -> SynthAugError:
    return SynthAugError(f"{path}: data cannot be read ({_one_line(error)}); the file is damaged: copy it anew")


def _whole_numbers(label: np.ndarray, path: Path) -> np.ndarray:
    if label.dtype.kind == "f":
        if not np.isfinite(label).all():
            raise LabelError(f"{path}: holds NaN or infinite labels; allowed: whole numbers from 0 to 32767")
        rounded = np.rint(label)
        wrong = np.abs(label - rounded) > LABEL_ROUNDING
        if wrong.any():
            raise LabelError(
                f"{path}: {int(wrong.sum())} labels are not whole numbers (such as {float(label[wrong][0]):g}); "
                "allowed: whole numbers from 0 to 32767; resample label maps with nearest neighbour"
            )
        label = rounded
    low, high = label.min(), label.max()
    if low < 0 or high > np.iinfo(np.int16).max:
        raise LabelError(f"{path}: labels from {low:g} to {high:g}; allowed: whole numbers from 0 to 32767")
    return label.astype(np.int16)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
