"""``synthaug sample --labels``: images for the user's own label maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from synthaug.cli import app
from synthaug.conditions import Condition
from synthaug.labels import LabelMapping
from synthaug.volumes import fingerprint_array
from tests.generators.tiny_guided_ldm import write_tiny_generator
from tests.stand_in_generator import StandInGenerator

SKEW = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, -0.2, 0.15), (3.0, -40.0, 12.5))


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_generator(tmp_path_factory.mktemp("tiny"))


def head(spacing_mm: float = 4.0) -> np.ndarray:
    """Label map of a head, ``ventricles-t1``, RAS+."""
    size = int(128 / spacing_mm)
    stand_in = StandInGenerator((size, size, size), spacing_mm)
    (pair,) = stand_in.generate([Condition({"ventricles": 40.0})], [1])
    return pair.label


def write(path: Path, label: np.ndarray, affine: np.ndarray, codes: str = "RAS") -> Path:
    """Write a RAS+ array in another voxel order."""
    image = nib.Nifti1Image(label, affine)
    start = nib.orientations.io_orientation(affine)
    transform = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes))
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image.as_reoriented(transform), path)
    return path


def load(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Array and affine of a file as they stand in it."""
    image: Any = nib.load(path)
    return np.asanyarray(image.dataobj), image.affine


def sample(generator: Path | str, *arguments: str) -> int:
    """Run the command."""
    return app.run(["sample", "--generator", str(generator), "--device", "cpu", *arguments])


def made(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The pairs of the facts that ``--json`` printed."""
    pairs: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["pairs"]
    return pairs


def test_each_label_map_gets_images_in_its_own_geometry(
    generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    affine = SKEW @ np.diag([4, 4, 4, 1])
    first = write(tmp_path / "maps" / "first.nii.gz", np.pad(head(), ((0, 3), (2, 0), (0, 0))), affine, "LIA")
    second = write(tmp_path / "maps" / "second.nii", head(2.5), np.diag([2.5, 2.5, 2.5, 1]), "PSR")
    out = tmp_path / "out"
    asked = ["--labels", str(tmp_path / "maps"), "--num", "2", "--seed", "3", "--out", str(out), "--json"]
    assert sample(generator, *asked) == 0
    pairs = made(capsys)
    assert [pair["name"] for pair in pairs] == [f"{map}_seed3_00{n}" for map in ("first", "second") for n in (0, 1)]
    assert len({pair["seed"] for pair in pairs}) == 4
    for pair, path in zip(pairs, (first, first, second, second), strict=True):
        own, own_affine = load(path)
        image, image_affine = load(pair["image"])
        label, label_affine = load(pair["label"])
        assert image.shape == label.shape == own.shape
        np.testing.assert_allclose(image_affine, own_affine, atol=1e-5)
        np.testing.assert_allclose(label_affine, own_affine, atol=1e-5)
        np.testing.assert_array_equal(label, own)
        np.testing.assert_array_equal(image > 0, own > 0)
        assert (image[own == 0] == 0).all()
        provenance = json.loads(Path(pair["provenance"]).read_text())
        for key in ("seed", "label_file", "label_sha256", "generator_sha256", "seconds", "realised_ml"):
            assert provenance[key] == pair[key]
        assert pair["label_file"] == path.name
        assert pair["not_shown_ml"] == {}
        assert {"generator", "device", "dtype", "versions"} <= set(provenance)
    assert not np.array_equal(load(pairs[0]["image"])[0], load(pairs[1]["image"])[0])
    assert (out / "preview.png").read_bytes().startswith(b"\x89PNG")
    structures = json.loads((out / "labels.json").read_text())["structures"]
    assert structures["third_ventricle"] == 5


@pytest.mark.parametrize("spacing_mm", [4.0, 3.2])
def test_another_voxel_order_gives_the_same_image(
    generator: Path, tmp_path: Path, spacing_mm: float, capsys: pytest.CaptureFixture[str]
) -> None:
    affine = np.diag([spacing_mm] * 3 + [1.0])
    images = []
    for codes in ("RAS", "LPI"):
        path = write(tmp_path / codes / "own.nii.gz", head(spacing_mm), affine, codes)
        assert sample(generator, "--labels", str(path), "--out", str(tmp_path / f"out {codes}"), "--json") == 0
        (pair,) = made(capsys)
        images.append(load(pair["image"])[0])
    np.testing.assert_array_equal(images[0], np.flip(images[1]))


def test_a_mapping_keeps_own_ids_where_the_image_shows_them(
    generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = LabelMapping.load("freesurfer-to-ventricles-t1")
    ids = {goal: mapping.source.id_of(name) for name, goal in mapping.table.items() if goal != "background"}
    lookup = np.array([0, *(ids[name] for name in mapping.target.names)], np.int16)
    label = np.pad(lookup[head()], 2)
    brain = label > 0
    skull = mapping.source.id_of("extra_cerebral_507")
    label[ndimage.binary_dilation(brain) & ~brain] = skull
    path = write(tmp_path / "own_seg.nii.gz", label, np.diag([4.0, 4.0, 4.0, 1.0]))
    asked = ["--labels", str(path), "--mapping", "freesurfer-to-ventricles-t1", "--out", str(tmp_path / "out")]
    assert sample(generator, *asked, "--json") == 0
    (pair,) = made(capsys)
    written, image = load(pair["label"])[0], load(pair["image"])[0]
    np.testing.assert_array_equal(written, np.where(brain, label, 0))
    np.testing.assert_array_equal(image > 0, brain)
    assert pair["not_shown_ml"] == {"extra_cerebral_507": pytest.approx((label == skull).sum() * 0.064)}
    assert pair["label_sha256"] == fingerprint_array(label)


def test_the_same_command_replaces_its_pairs_and_no_other(
    generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "maps" / "own.nii.gz", head(), np.diag([4.0, 4.0, 4.0, 1.0]))
    asked = ["--labels", str(path), "--out", str(tmp_path / "out")]
    assert sample(generator, *asked) == 0
    assert "labelled mL" in capsys.readouterr().out
    image = tmp_path / "out" / "own_seed0_000_image.nii.gz"
    before = image.read_bytes()
    assert sample(generator, *asked) == 0
    assert image.read_bytes() == before
    write(path, np.roll(head(), 1, 2) * (head() != 5), np.diag([4.0, 4.0, 4.0, 1.0]))
    capsys.readouterr()
    assert sample(generator, *asked) == 2
    error = capsys.readouterr().err
    assert "another label map, label mapping or generator; give another --out or --seed" in error
    assert error.count("\n") == 1
    assert image.read_bytes() == before
    assert sample(generator, *asked, "--seed", "1") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "ventricles=40"], "--target: does not go with --labels"),
        (["--schedule", "uniform:20:120"], "--schedule: does not go with --labels"),
        (["--extrapolate"], "--extrapolate: does not go with --labels"),
        (["--check"], "--check: does not go with --labels"),
        (["--guidance-scale", "2"], "--guidance-scale: does not go with --labels"),
        (["--tolerance", "0.1"], "--tolerance: does not go with --labels"),
        (["--fold", "1"], "--fold: does not go with --labels"),
        (["--cases", "a.nii.gz,b.nii.gz"], "--cases: does not go with --labels"),
        (["--case", "a.nii.gz", "b.nii.gz"], "--case: does not go with --labels"),
        (["--scheme", "freesurfer"], "--scheme: does not go with --labels"),
        (["--mapping", "nowhere.json"], "nowhere.json"),
        (["--generator", "counterfactual"], "--generator counterfactual: makes no image for a label map"),
        (["--generator", "python:tests.stand_in_generator:make"], "makes no image for a label map"),
        (["--num", "1000000000"], "1 to 1,000,000 pairs"),
        (["--labels", "nowhere/*.nii.gz"], "--labels nowhere/*.nii.gz: no such file"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    generator: Path, arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "maps" / "own.nii.gz", head(), np.diag([4.0, 4.0, 4.0, 1.0]))
    out = tmp_path / "out"
    assert sample(generator, "--labels", str(path), "--out", str(out), *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("label", "spacing_mm", "said"),
    [
        (head() + np.int16(90), 4.0, "labels outside the scheme 'ventricles-t1'"),
        (np.zeros((4, 4, 4), np.int16), 4.0, "holds no voxel of a structure"),
        (head(), 6.0, "% of the labelled volume lies outside the field of view"),
    ],
)
def test_a_label_map_that_cannot_get_an_image_is_named(
    generator: Path,
    label: np.ndarray,
    spacing_mm: float,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path / "maps" / "own.nii.gz", label, np.diag([spacing_mm] * 3 + [1.0]))
    assert sample(generator, "--labels", str(path), "--out", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_folder_of_the_label_maps_is_no_folder_for_pairs(
    generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "own.nii.gz", head(), np.diag([4.0, 4.0, 4.0, 1.0]))
    assert sample(generator, "--labels", str(path), "--out", str(tmp_path)) == 2
    assert "is the folder of the label maps" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["own.nii.gz"]


def test_a_mapping_without_label_maps_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--target", "ventricles=40", "--mapping", "freesurfer-to-ventricles-t1"]
    assert sample("python:tests.stand_in_generator:make", *asked, "--out", str(tmp_path / "out")) == 2
    assert "give --labels too" in capsys.readouterr().err


def test_a_real_label_map_gets_an_image_that_shows_its_tissue(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_data / "synthseg_label_maps" / "training_seg_01.nii.gz"
    asked = ["--labels", str(path), "--mapping", "freesurfer-to-ventricles-t1", "--option", "image_steps=2"]
    assert sample("ventricles-t1-1mm", *asked, "--out", str(tmp_path), "--json") == 0
    (pair,) = made(capsys)
    own, affine = load(path)
    label, label_affine = load(pair["label"])
    image, image_affine = load(pair["image"])
    assert image.shape == label.shape == own.shape
    np.testing.assert_array_equal(image_affine, affine)
    np.testing.assert_array_equal(label_affine, affine)
    np.testing.assert_array_equal(image > 0, label > 0)
    np.testing.assert_array_equal(label[label > 0], own[label > 0])
    brain = (own > 0) & (own < 500)
    assert (label > 0).sum() > 0.99 * brain.sum()
    white, grey, fluid = (float(np.median(image[np.isin(own, ids)])) for ids in ([2, 41], [3, 42], [4, 43]))
    assert white > 1.2 * grey > 1.4 * fluid
