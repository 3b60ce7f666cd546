"""A dataset that nothing can be made of is told in one line before any long work, one that merely varies is taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from synthaug.cli.app import run
from synthaug.conditions import Condition
from synthaug.fitting.cases import FittingCase
from synthaug.fitting.generator_fit import FitTask
from synthaug.volumes import write_image, write_label
from tests import stand_in_generator
from tests.generators.tiny_guided_ldm import write_tiny_generator
from tests.stand_in_generator import StandInGenerator

NAMES = ("a", "b", "bad", "c", "d", "e")
PAIRS = StandInGenerator()
FIT = ["fit", "7", "--device", "cpu"]
PRECOMPUTE = ["precompute", "--dataset", "7", "--num", "1", "--device", "cpu"]
STAND_IN = ["--generator", "python:tests.stand_in_generator:make"]
COUNTERFACTUAL = ["--generator", "counterfactual"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw dataset of six heads with ventricles of different size."""
    folder = tmp_path_factory.mktemp("sound") / "Dataset007_Heads"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    labels = {"background": 0, **{name: PAIRS.scheme.id_of(name) for name in PAIRS.scheme.names}}
    described = {"channel_names": {"0": "T1"}, "labels": labels, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(described))
    for number, name in enumerate(NAMES):
        (pair,) = PAIRS.generate([Condition({"ventricles": 20.0 + 10 * number})], [number])
        write_label(folder / "labelsTr" / f"{name}.nii.gz", pair.label, pair.affine)
        write_image(folder / "imagesTr" / f"{name}_0000.nii.gz", pair.image, pair.affine)
    return folder


@pytest.fixture
def raw(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, planned, whose case ``bad`` is among the training cases of fold 0."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    raw, preprocessed = (tmp_path / tree / "Dataset007_Heads" for tree in ("raw", "preprocessed"))
    shutil.copytree(sound, raw)
    preprocessed.mkdir(parents=True)
    shutil.copyfile(raw / "dataset.json", preprocessed / "dataset.json")
    plans = {"configurations": {"3d_fullres": {}}, "image_reader_writer": "SimpleITKIO"}
    (preprocessed / "nnUNetPlans.json").write_text(json.dumps(plans))
    split = [{"train": [name for name in NAMES if name != "e"], "val": ["e"]}]
    (preprocessed / "splits_final.json").write_text(json.dumps(split))
    (tmp_path / "settings.json").write_text(json.dumps({"shape": [32, 32, 32], "spacing_mm": 4.0}))
    return raw


def label_of(raw: Path) -> Path:
    return raw / "labelsTr" / "bad.nii.gz"


def image_of(raw: Path) -> Path:
    return raw / "imagesTr" / "bad_0000.nii.gz"


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], voxel: Sequence[float] = (1, 1, 1)) -> None:
    """Change the voxels of a file, and its spacing by a factor."""
    image: Any = nibabel.load(path)
    changed = change(np.array(image.dataobj))
    nibabel.save(nibabel.Nifti1Image(changed, image.affine @ np.diag([*voxel, 1])), path)


def with_one_voxel(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[16, 16, 16] = value
        return array

    return change


def without_label_map(raw: Path) -> None:
    label_of(raw).unlink()


def without_image(raw: Path) -> None:
    image_of(raw).unlink()


def with_a_label_of_another_scheme(raw: Path) -> None:
    rewrite(label_of(raw), with_one_voxel(77))


def with_nan(raw: Path) -> None:
    rewrite(image_of(raw), with_one_voxel(np.nan))


def with_another_shape(raw: Path) -> None:
    rewrite(label_of(raw), lambda label: label[:-1])


def with_a_damaged_label_map(raw: Path) -> None:
    label_of(raw).write_bytes(label_of(raw).read_bytes()[:100])


def with_an_empty_label_map(raw: Path) -> None:
    rewrite(label_of(raw), np.zeros_like)


def with_another_spacing(raw: Path) -> None:
    for path in (label_of(raw), image_of(raw)):
        rewrite(path, lambda array: array[:, ::2], (1, 2, 1))


UNUSABLE = [
    (without_label_map, "labelsTr/bad.nii.gz: missing for case bad of Dataset007_Heads; restore the file"),
    (without_image, "imagesTr/bad_0000.nii.gz: missing for case bad of Dataset007_Heads; restore the file"),
    (
        with_a_label_of_another_scheme,
        "labelsTr/bad.nii.gz: labels outside the scheme 'Dataset007_Heads': 77 ",
    ),
    (with_nan, "imagesTr/bad_0000.nii.gz: 1 of 32768 intensities are NaN or infinite"),
    (with_another_shape, "shapes differ, (32, 32, 32) and (31, 32, 32) voxels"),
    (with_a_damaged_label_map, "labelsTr/bad.nii.gz: "),
]


def refusal(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command is refused, after which nothing has been written."""
    if arguments[0] == "fit":
        arguments = [*arguments, "--out", str(tmp_path / "out"), "--settings", str(tmp_path / "settings.json")]
    assert run(arguments) == 2
    *progress, error = capsys.readouterr().err.strip().splitlines()
    assert all("reading and fingerprinting" in line for line in progress)
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "preprocessed").rglob("synthaug*"))
    return error


@pytest.mark.parametrize("command", [FIT, [*PRECOMPUTE, *STAND_IN], [*PRECOMPUTE, *COUNTERFACTUAL]])
@pytest.mark.parametrize(("spoil", "what"), UNUSABLE)
def test_a_case_that_cannot_be_used_is_told_before_anything_is_begun(
    raw: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    spoil: Callable[[Path], None],
    what: str,
) -> None:
    generator = StandInGenerator()
    monkeypatch.setattr(stand_in_generator, "make", lambda **options: generator)
    spoil(raw)
    assert what in refusal(command, tmp_path, capsys)
    assert generator.calls == []


@pytest.mark.parametrize("command", [FIT, [*PRECOMPUTE, *STAND_IN], [*PRECOMPUTE, *COUNTERFACTUAL]])
@pytest.mark.parametrize("fold", ["1", "-1", "x"])
def test_a_fold_that_does_not_exist_is_told_with_those_that_do(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], fold: str
) -> None:
    error = refusal([*command, "--fold", fold], tmp_path, capsys)
    assert f"fold {fold}" in error.replace("'", "")
    assert "allowed are 0 to 0 and all; choose one" in error


@pytest.mark.parametrize("command", [FIT, [*PRECOMPUTE, *STAND_IN], [*PRECOMPUTE, *COUNTERFACTUAL]])
def test_a_single_case_has_no_folds(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    for path in [*raw.glob("imagesTr/*"), *raw.glob("labelsTr/*")]:
        if not path.name.startswith("bad"):
            path.unlink()
    (tmp_path / "preprocessed" / raw.name / "splits_final.json").unlink()
    error = refusal(command, tmp_path, capsys)
    assert "1 case(s) cannot be split into nnU-Net's 5 folds" in error
    assert "splits_final.json, or choose fold all" in error


def test_several_unusable_cases_are_counted(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_nan(raw)
    shutil.copyfile(image_of(raw), raw / "imagesTr" / "c_0000.nii.gz")
    shutil.copyfile(image_of(raw), raw / "imagesTr" / "e_0000.nii.gz")
    error = refusal([*PRECOMPUTE, *STAND_IN], tmp_path, capsys)
    assert "bad_0000.nii.gz: 1 of 32768" in error
    assert "(2 further case(s) of Dataset007_Heads cannot be used either)" in error


def test_a_fit_needs_labels_in_every_case(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_an_empty_label_map(raw)
    error = refusal(FIT, tmp_path, capsys)
    assert "cases without a labelled voxel: 1, such as bad; a fit needs some" in error


def test_a_fit_is_asked_for_controls_that_the_dataset_has(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((tmp_path / "settings.json").read_text())
    (tmp_path / "settings.json").write_text(json.dumps({**content, "controls": ["ventricles", "liver"]}))
    error = refusal(FIT, tmp_path, capsys)
    assert "settings.json, controls: scheme 'Dataset007_Heads' has no structure or group 'liver'" in error
    assert "groups: ventricles" in error


@pytest.mark.usefixtures("fresh_accelerator")
def test_a_fit_takes_cases_of_different_spacing(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthaug.fitting.systems import SYSTEMS

    given: list[FittingCase] = []

    class Recorded:
        def __init__(self, task: FitTask[Any]) -> None:
            given.extend(task.cases)

        def run(self, **named: Any) -> None:
            write_tiny_generator(tmp_path / "out")

    recorded = replace(SYSTEMS["guided-ldm"], fit=Recorded)  # type: ignore[arg-type]
    monkeypatch.setitem(SYSTEMS, "guided-ldm", recorded)
    arguments = [*FIT, "--out", str(tmp_path / "out"), "--settings", str(tmp_path / "settings.json")]
    assert run(arguments) == 0
    before = {case.identifier: case for case in given}["bad"]
    given.clear()
    with_another_spacing(raw)
    assert run(arguments) == 0
    after = {case.identifier: case for case in given}["bad"]
    assert after.label.shape == before.label.shape == (32, 32, 32)
    agreement = (after.label == before.label)[before.label > 0].float().mean()
    assert 0.7 < float(agreement) < 1  # every second slice is its neighbour's


@pytest.mark.parametrize("spoil", [with_an_empty_label_map, with_another_spacing])
def test_a_cache_is_made_for_whatever_nnunet_trains_on(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]
) -> None:
    from synthaug.cli import served_training

    prepared: list[dict[str, Any]] = []
    monkeypatch.setattr(served_training, "prepare_training", lambda *where, **named: prepared.append(named))
    monkeypatch.setattr(
        served_training, "plans_forms", lambda *where, **named: []
    )  # the plans here are no complete ones
    spoil(raw)
    assert run([*PRECOMPUTE, *STAND_IN]) == 0
    (named,) = prepared
    assert sorted(named["cases"]) == sorted(NAMES)
    assert named["cases"]["bad"].image is not None
    assert (named["cases"]["bad"].label is None) == (spoil is with_an_empty_label_map)
