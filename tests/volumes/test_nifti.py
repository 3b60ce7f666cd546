from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthaug.errors import GeometryError, LabelError, SynthAugError
from synthaug.labels import LabelScheme, Structure
from synthaug.volumes import read_image, read_label, read_pair, write_image, write_label

SCHEME = LabelScheme("two", (Structure("a", 1), Structure("b", 2)))


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return path


def oblique() -> np.ndarray:
    angle = 0.2
    affine = np.eye(4)
    affine[:3, :3] = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.5]]
    affine[:3, 3] = (-20, 30, 7.25)
    return affine


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_written_files_come_back_with_their_true_affine(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 4, 5, 6)).astype(np.float32)
    label = rng.integers(0, 3, (4, 5, 6)).astype(np.int16)
    write_image(tmp_path / f"image{suffix}", image, oblique())
    write_label(tmp_path / f"label{suffix}", label, oblique())
    pair = read_pair([tmp_path / f"image{suffix}"], tmp_path / f"label{suffix}", SCHEME, ["T1"])
    assert np.array_equal(pair.image, image)
    assert np.array_equal(pair.label, label)
    assert np.allclose(pair.affine, oblique(), atol=1e-5)
    header = nib.Nifti1Image.from_filename(tmp_path / f"label{suffix}").header
    assert header.get_xyzt_units()[0] == "mm"
    assert np.allclose(header.get_qform(), header.get_sform(), atol=1e-4)


def test_several_channels_need_to_be_asked_for(tmp_path: Path) -> None:
    image = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    write_image(tmp_path / "image.nii.gz", image, np.eye(4))
    assert np.array_equal(read_image(tmp_path / "image.nii.gz", multichannel=True)[0], image)
    with pytest.raises(GeometryError, match=r"shape \(3, 4, 5, 2\); allowed: \(X, Y, Z\)"):
        read_image(tmp_path / "image.nii.gz")


@pytest.mark.parametrize("axes", ["LPS", "LIA", "PSR", "RAS", "ASL"])
def test_any_orientation_becomes_the_same_ras_array(tmp_path: Path, axes: str) -> None:
    data = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    original = nib.Nifti1Image(data, np.diag([1.0, 2.0, 3.0, 1.0]))
    turned = original.as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes))
    )
    nib.save(turned, tmp_path / "turned.nii")
    image, affine = read_image(tmp_path / "turned.nii")
    assert np.array_equal(image[0], data)
    assert np.allclose(affine, original.affine)
    assert image.flags.c_contiguous


def test_trailing_single_dimensions_count_as_3d(tmp_path: Path) -> None:
    label = np.ones((3, 4, 5, 1), dtype=np.uint8)
    assert read_label(save(tmp_path / "label.nii", label))[0].shape == (3, 4, 5)
    assert read_image(save(tmp_path / "image.nii", label.astype(np.float32)[..., None]))[0].shape == (1, 3, 4, 5)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5, 2), (3, 4, 5, 1, 2)])
def test_other_dimensions_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save(tmp_path / "label.nii", np.ones(shape, dtype=np.uint8))
    with pytest.raises(GeometryError, match=r"label.nii: shape"):
        read_label(path)
    with pytest.raises(GeometryError, match=r"allowed: \(X, Y, Z\)"):
        read_image(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_image, read_label):
        with pytest.raises(SynthAugError, match=r"nowhere.nii.gz: no such file"):
            read(tmp_path / "nowhere.nii.gz")


def test_unreadable_and_truncated_files_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text.nii").write_text("not an image at all")
    (tmp_path / "gz.nii.gz").write_bytes(b"not gzip")
    (tmp_path / "empty.nii").write_bytes(b"")
    whole = save(tmp_path / "whole.nii.gz", np.random.default_rng(0).normal(size=(20, 20, 20))).read_bytes()
    (tmp_path / "half.nii.gz").write_bytes(whole[: len(whole) // 2])
    plain = save(tmp_path / "whole.nii", np.ones((20, 20, 20))).read_bytes()
    (tmp_path / "half.nii").write_bytes(plain[:1000])
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    (tmp_path / "flipped.nii.gz").write_bytes(bytes(flipped))
    for name in ("text.nii", "gz.nii.gz", "empty.nii", "half.nii.gz", "half.nii", "flipped.nii.gz"):
        for read in (read_image, read_label):
            with pytest.raises(SynthAugError, match=f"{name}: (cannot be read|data cannot be read)") as caught:
                read(tmp_path / name)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file_in_another_orientation_is_one_clear_line(tmp_path: Path, suffix: str) -> None:
    data = np.random.default_rng(0).normal(size=(20, 20, 20))
    path = save(tmp_path / f"las{suffix}", data, np.diag([-1.0, 1.0, 1.0, 1.0]))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    for read in (read_image, read_label):
        with pytest.raises(SynthAugError, match=f"las{suffix}: data cannot be read") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_the_size_is_bounded_from_the_header(tmp_path: Path) -> None:
    path = save(tmp_path / "huge.nii", np.ones((2, 2, 2), dtype=np.uint8))
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([32000, 32000, 32000], dtype="<i2").tobytes()
    path.write_bytes(bytes(content))
    with pytest.raises(
        GeometryError, match=r"huge.nii: shape \(32000, 32000, 32000\); allowed: 1 to 1073741824 voxels"
    ):
        read_image(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_intensities_that_are_no_numbers_are_counted(tmp_path: Path, value: float) -> None:
    data = np.ones((3, 4, 5), dtype=np.float32)
    data[0, 0, :2] = value
    with pytest.raises(GeometryError, match=r"image.nii: 2 of 60 intensities are NaN or infinite"):
        read_image(save(tmp_path / "image.nii", data))


def test_an_intensity_beyond_float32_is_refused(tmp_path: Path) -> None:
    data = np.ones((2, 2, 2))
    data[0, 0, 0] = 1e300
    with pytest.raises(GeometryError, match="1 of 8 intensities"):
        read_image(save(tmp_path / "image.nii", data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.full((2, 2, 2), 1.5, dtype=np.float32), "8 labels are not whole numbers"),
        (np.full((2, 2, 2), np.nan, dtype=np.float32), "NaN or infinite labels"),
        (np.full((2, 2, 2), -1, dtype=np.int16), "labels from -1 to -1; allowed: whole numbers from 0"),
        (np.full((2, 2, 2), 40000, dtype=np.int32), "labels from 40000"),
        (np.full((2, 2, 2), 3, dtype=np.int16), "outside the scheme 'two'.*3 \\(8 voxels\\)"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, data: np.ndarray, reason: str) -> None:
    with pytest.raises(LabelError, match=f"label.nii: .*{reason}"):
        read_label(save(tmp_path / "label.nii", data), SCHEME)


def test_whole_numbers_stored_as_real_ones_are_labels(tmp_path: Path) -> None:
    label, _ = read_label(save(tmp_path / "label.nii", np.full((2, 2, 2), 2.0, dtype=np.float32)), SCHEME)
    assert label.dtype == np.int16
    assert (label == 2).all()


def test_an_affine_that_is_none_is_refused(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones((2, 2, 2), dtype=np.float32), np.eye(4))
    image.header["srow_x"] = 0
    image.header["sform_code"] = 1
    # nibabel would mend it on save, and so the header is written as it stands
    content = bytearray(image.to_bytes())
    content[280:296] = bytes(16)
    (tmp_path / "flat.nii").write_bytes(bytes(content))
    with pytest.raises(GeometryError, match=r"flat.nii: affine cannot be inverted"):
        read_image(tmp_path / "flat.nii")


def test_complex_and_colour_voxels_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "complex.nii", np.ones((2, 2, 2), dtype=np.complex64))
    with pytest.raises(SynthAugError, match=r"complex.nii: voxels are complex64"):
        read_image(path)


def test_pairs_on_different_grids_are_refused(tmp_path: Path) -> None:
    label = save(tmp_path / "label.nii", np.ones((3, 4, 5), dtype=np.int16))
    other_shape = save(tmp_path / "shape.nii", np.ones((3, 4, 6), dtype=np.float32))
    with pytest.raises(GeometryError, match=r"shape.nii and .*label.nii: shapes differ, \(3, 4, 6\) and \(3, 4, 5\)"):
        read_pair([other_shape], label, SCHEME, ["T1"])
    moved = np.eye(4)
    moved[0, 3] = 0.01
    other_affine = save(tmp_path / "affine.nii", np.ones((3, 4, 5), dtype=np.float32), moved)
    with pytest.raises(GeometryError, match=r"affines differ by up to 0.01 mm; allowed: 0.001 mm"):
        read_pair([other_affine], label, SCHEME, ["T1"])
    moved[0, 3] = 0.0005
    near = save(tmp_path / "near.nii", np.ones((3, 4, 5), dtype=np.float32), moved)
    assert read_pair([near], label, SCHEME, ["T1"]).image.shape == (1, 3, 4, 5)


def test_files_and_channels_must_be_as_many(tmp_path: Path) -> None:
    label = save(tmp_path / "label.nii", np.ones((3, 4, 5), dtype=np.int16))
    image = save(tmp_path / "image.nii", np.ones((3, 4, 5), dtype=np.float32))
    assert read_pair([image, image], label, SCHEME, ["T1", "T2"]).image.shape == (2, 3, 4, 5)
    with pytest.raises(GeometryError, match="1 image files for the channels T1, T2"):
        read_pair([image], label, SCHEME, ["T1", "T2"])


@pytest.mark.parametrize(
    ("write", "data", "reason"),
    [
        (write_label, np.ones((2, 2, 2)), "float64"),
        (write_label, np.ones((1, 2, 2, 2), dtype=np.int16), r"allowed: \(X, Y, Z\)"),
        (write_label, np.full((2, 2, 2), 70000), "70000; allowed: 0 to 32767"),
        (write_image, np.ones((2, 2)), r"allowed: \(C, X, Y, Z\)"),
    ],
)
def test_a_refused_write_leaves_the_old_file(tmp_path: Path, write, data: np.ndarray, reason: str) -> None:
    path = tmp_path / "kept.nii.gz"
    write_label(path, np.ones((2, 2, 2), dtype=np.int16), np.eye(4))
    before = path.read_bytes()
    with pytest.raises(GeometryError, match=reason):
        write(path, data, np.eye(4))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["kept.nii.gz"]


def test_a_write_that_fails_midway_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.nii.gz"
    write_label(path, np.ones((2, 2, 2), dtype=np.int16), np.eye(4))
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(SynthAugError, match=r"kept.nii.gz: cannot be written \(No space left on device\)"):
        write_label(path, np.zeros((2, 2, 2), dtype=np.int16), np.eye(4))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["kept.nii.gz"]


def test_equal_arrays_make_equal_files(tmp_path: Path) -> None:
    label = np.ones((3, 4, 5), dtype=np.int16)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_label(tmp_path / name, label, np.eye(4))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_only_nifti_is_written(tmp_path: Path) -> None:
    with pytest.raises(SynthAugError, match=r"file type .mha; allowed: .nii or .nii.gz"):
        write_label(tmp_path / "label.mha", np.ones((2, 2, 2), dtype=np.int16), np.eye(4))


def test_a_sheared_grid_keeps_its_affine(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.3
    write_label(tmp_path / "label.nii.gz", np.ones((2, 3, 4), dtype=np.int16), affine)
    assert np.allclose(read_label(tmp_path / "label.nii.gz")[1], affine)
    assert int(nib.Nifti1Image.from_filename(tmp_path / "label.nii.gz").header["qform_code"]) == 0


def test_a_real_scan_is_read_as_a_pair_in_ras(shared_data: Path) -> None:
    folder = shared_data / "malf"
    scheme = LabelScheme.load("neuromorphometrics")
    pair = read_pair([folder / "1000_T1.nii.gz"], folder / "1000_labels.nii.gz", scheme, ["T1"])
    assert nib.aff2axcodes(pair.affine) == ("R", "A", "S")
    assert pair.spacing_mm == pytest.approx((1, 1, 1))
    assert 6 < pair.volumes_ml()["lateral_ventricles"] < 38
    left, right = (np.argwhere(pair.label == number)[:, 0].mean() for number in (52, 51))
    assert left < right
