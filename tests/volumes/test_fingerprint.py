from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.volumes import fingerprint_array, fingerprint_label, read_image


def blob() -> np.ndarray:
    array = np.zeros((8, 9, 10), dtype=np.float32)
    array[2:5, 3:7, 1:9] = np.random.default_rng(0).normal(size=(3, 4, 8))
    return array


@given(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 3))
def test_padding_with_zeros_changes_nothing(padding) -> None:
    assert fingerprint_array(np.pad(blob(), padding)) == fingerprint_array(blob())


def test_renamed_and_turned_copies_agree(tmp_path: Path) -> None:
    original = nib.Nifti1Image(blob(), np.eye(4))
    turned = original.as_reoriented(nib.orientations.axcodes2ornt("LIA"))
    nib.save(original, tmp_path / "original.nii")
    nib.save(turned, tmp_path / "copy_of_other_name.nii.gz")
    prints = {fingerprint_array(read_image(path)[0]) for path in tmp_path.iterdir()}
    assert prints == {fingerprint_array(blob())}


def test_one_changed_voxel_and_another_shape_differ() -> None:
    changed = blob()
    changed[3, 4, 5] += 1e-3
    turned = blob()[2:5, 3:7, 1:9].reshape(4, 3, 8)
    prints = [fingerprint_array(one) for one in (blob(), changed, turned, blob()[::-1])]
    assert len(set(prints)) == 4


def test_type_channel_axis_and_signed_zero_do_not_matter() -> None:
    label = (np.abs(blob()) * 10).astype(np.int16)
    negative_zero = np.where(blob() == 0, np.float32(-0.0), blob())
    assert fingerprint_array(label) == fingerprint_array(label.astype(np.int64)[None])
    assert fingerprint_array(negative_zero) == fingerprint_array(blob())


def test_all_channels_count() -> None:
    two = np.stack([blob(), 2 * blob()])
    assert fingerprint_array(two) != fingerprint_array(two[:1])
    assert fingerprint_array(two) != fingerprint_array(two[::-1])


def test_an_empty_array_has_a_fingerprint_and_other_dimensions_none() -> None:
    assert len(fingerprint_array(np.zeros((3, 3, 3)))) == 64
    with pytest.raises(ValueError, match=r"allowed: \(X, Y, Z\)"):
        fingerprint_array(np.zeros((3, 3)))


def test_label_maps_that_tell_no_patient_from_another_have_no_fingerprint() -> None:
    label = np.zeros((8, 8, 8), np.int16)
    assert fingerprint_label(label) is None
    label[3, 3, 3] = 1
    assert fingerprint_label(label) is None
    label[1:5, 1:5, 1:3] = 1
    assert fingerprint_label(label) == fingerprint_array(label)
