"""Arrays back in the voxel order of their files."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthaug.volumes import read_label
from synthaug.volumes.voxel_order import stored_affine, to_voxel_order


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LIA", "PSR", "SLP"])
def test_what_was_read_in_ras_order_goes_back_as_it_was(codes: str, tmp_path: Path) -> None:
    data = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    affine = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), data.shape) @ np.diag([1, 2, 3, 1])
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "label.nii.gz")
    label, _ = read_label(tmp_path / "label.nii.gz")
    stored = stored_affine(tmp_path / "label.nii.gz")
    np.testing.assert_allclose(stored, affine)
    np.testing.assert_array_equal(to_voxel_order(label, stored), data)
    two = to_voxel_order(np.stack([label, -label]), stored)
    np.testing.assert_array_equal(two, [data, -data])
