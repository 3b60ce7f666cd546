"""Synthetic volumes in the voxel order that nnU-Net's readers give."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest

from synthaug.integrations.nnunet.orientation import axis_codes, to_reader_order

CODES = [
    "".join(axes[i] for i in order) for axes in itertools.product("RL", "AP", "SI") for order in ((0, 1, 2), (2, 0, 1))
]


@pytest.mark.parametrize("codes", CODES)
def test_the_same_array_and_spacing_as_simpleitk_reads(tmp_path: Path, codes: str) -> None:
    import SimpleITK

    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 5, 6, 7)).astype(np.float32)
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    as_ras = nibabel.Nifti1Image(image[0], affine)
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(tuple(codes))
    )
    path = tmp_path / "volume.nii.gz"
    nibabel.save(as_ras.as_reoriented(turn), path)
    assert axis_codes(path) == codes
    read = SimpleITK.ReadImage(str(path))
    array, spacing = to_reader_order(image, affine, codes)
    np.testing.assert_array_equal(array[0], SimpleITK.GetArrayFromImage(read))
    assert spacing == pytest.approx(read.GetSpacing()[::-1])


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS"])
def test_other_formats_are_read_from_their_headers(tmp_path: Path, codes: str) -> None:
    import SimpleITK

    # ITK's directions are LPS+
    signs = [{"L": 1, "R": -1, "P": 1, "A": -1, "S": 1}[code] for code in codes]
    image = SimpleITK.GetImageFromArray(np.zeros((3, 4, 5), np.float32))
    image.SetDirection(np.diag(signs).astype(float).ravel().tolist())
    SimpleITK.WriteImage(image, str(tmp_path / "volume.nrrd"))
    assert axis_codes(tmp_path / "volume.nrrd") == codes
