"""Bring a volume from RAS+ into the voxel order in which nnU-Net reads a dataset's files.

Most of nnU-Net's readers keep the order of the file. A synthetic volume in another order would show the network
brains that are mirrored or turned against the real ones, and left structures on the right side.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel import orientations

from synthaug.errors import SynthAugError
from synthaug.integrations.nnunet.dataset import NnunetDataset

REORIENTING_READERS = ("NibabelIOWithReorient", "SimpleITKIOWithReorient")  # to RAS+
ORDER_KEEPING_READERS = ("SimpleITKIO", "NibabelIO")
SAMPLE_SIZE = 32
"""Headers that are read: enough to see which orientations a dataset has, quick for one of thousands of cases."""


def dataset_orientations(dataset: NnunetDataset, reader: str) -> tuple[str, ...]:
    """Axis codes (``"LAS"``) of a sample of the dataset's label files, each as nnU-Net's reader presents it.

    Args:
        dataset: The dataset.
        reader: ``image_reader_writer`` of the plans.

    Returns:
        One code for each file looked at, sorted; their frequencies are those of the dataset.

    Raises:
        SynthAugError: The reader is for 2D pictures or microscopy, or there is no label file to look at.
    """
    if reader in REORIENTING_READERS:
        return ("RAS",)
    if reader not in ORDER_KEEPING_READERS:
        raise SynthAugError(
            f"{dataset.name}: nnU-Net reads it with {reader}, which has no anatomical axes; synthetic cases need "
            "NIfTI, NRRD or MHA files in 3D"
        )
    files = list(dataset.label_files().values())
    if not files:
        raise SynthAugError(
            f"{dataset.preprocessed / 'gt_segmentations'}: no label map; run nnUNetv2_plan_and_preprocess -d "
            f"{dataset.name}"
        )
    step = -(-len(files) // SAMPLE_SIZE)
    return tuple(sorted(axis_codes(path) for path in files[::step]))


def axis_codes(path: Path) -> str:
    """Axis codes of a file's voxel order, from its header.

    Raises:
        SynthAugError: The header cannot be read, or the file is not 3D.
    """
    if path.name.endswith((".nii", ".nii.gz")):
        try:
            affine = np.asarray(nibabel.load(path).affine)  # type: ignore[attr-defined]
        except (OSError, EOFError, zlib.error, ValueError, nibabel.filebasedimages.ImageFileError) as error:
            raise _unreadable(path, error) from None
    else:
        import SimpleITK

        header = SimpleITK.ImageFileReader()
        header.SetFileName(str(path))
        try:
            header.ReadImageInformation()
        except RuntimeError as error:
            raise _unreadable(path, error) from None
        direction = np.asarray(header.GetDirection()).reshape(header.GetDimension(), -1)
        if header.GetDimension() != 3:
            raise SynthAugError(f"{path}: {header.GetDimension()}D; synthetic cases need a 3D dataset")
        affine = np.eye(4)
        affine[:3, :3] = np.diag([-1.0, -1.0, 1.0]) @ direction  # ITK's axes are LPS+
    return "".join(orientations.aff2axcodes(affine))


def _unreadable(path: Path, error: Exception) -> SynthAugError:
    text = " ".join(str(error).split()) or type(error).__name__
    return SynthAugError(f"{path}: its header cannot be read ({text}); the file is damaged: copy it anew")


def to_reader_order(array: np.ndarray, affine: np.ndarray, codes: Sequence[str]) -> tuple[np.ndarray, list[float]]:
    """Turn an array into the order that nnU-Net's readers give.

    Args:
        array: Shape ``(C, X, Y, Z)``.
        affine: 4x4, voxel to mm, RAS+.
        codes: Axis codes of the target's file order, such as ``"LAS"``.

    Returns:
        The array as ``(C, k, j, i)`` where i, j, k are the target's file axes, and its spacing in mm in the same order.
    """
    target = orientations.axcodes2ornt(tuple(codes))
    transform = orientations.ornt_transform(orientations.io_orientation(affine), target)
    moved = orientations.apply_orientation(np.moveaxis(array, 0, -1), transform)  # a fourth axis is left alone
    spacing = nibabel.affines.voxel_sizes(affine)
    order = np.argsort(transform[:, 0])
    spacing_file_order: list[Any] = [float(spacing[axis]) for axis in order]
    return np.ascontiguousarray(moved.transpose(3, 2, 1, 0)), spacing_file_order[::-1]


def from_reader_order(array: np.ndarray, affine: np.ndarray, codes: Sequence[str]) -> np.ndarray:
    """Undo what `to_reader_order` does to a volume.

    Args:
        array: Shape ``(k, j, i)`` in the order of nnU-Net's readers.
        affine: That of the volume in its own order, 4x4, voxel to mm, RAS+.
        codes: Axis codes of the reader's file order.

    Returns:
        The array in the volume's own order, ``(X, Y, Z)``.
    """
    target = orientations.axcodes2ornt(tuple(codes))
    transform = orientations.ornt_transform(target, orientations.io_orientation(affine))
    return np.ascontiguousarray(orientations.apply_orientation(array.transpose(2, 1, 0), transform))
