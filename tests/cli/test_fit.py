"""The mistakes that ``synthaug fit`` answers before any work begins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from synthaug.cli.app import run
from synthaug.cli.fit import parse_duration
from synthaug.cli.fit_cases import find_label_maps
from synthaug.errors import ConfigurationError
from synthaug.labels import LabelMapping, LabelScheme, Structure
from synthaug.volumes import write_image, write_label


@pytest.mark.parametrize(("text", "seconds"), [("45m", 2700), ("2h", 7200), ("600s", 600), ("90", 90), ("1.5h", 5400)])
def test_durations_are_read_in_seconds_minutes_and_hours(text: str, seconds: float) -> None:
    assert parse_duration(text, "--budget") == seconds


@pytest.mark.parametrize("text", ["", "0m", "-5m", "soon", "5 days"])
def test_other_durations_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match="45m"):
        parse_duration(text, "--budget")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generator", "guided-lmd"], "did you mean"),
        (["--generator", "domain-randomization"], "nothing to fit"),
        (["--budget", "soon"], "--budget 'soon'"),
        (["--settings", "missing.json"], "missing.json"),
        (["--init", "ventricles-t1-1mm", "--label-maps", "maps"], "--label-maps and --init"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fit", "501", "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_an_unknown_setting_is_named_with_what_was_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"spacing": 1.0}', encoding="utf-8")
    assert run(["fit", "501", "--out", str(tmp_path / "out"), "--settings", str(settings)]) == 2
    assert "spacing_mm" in capsys.readouterr().err


FINE = LabelScheme("fine", (Structure("brain", 10), Structure("left", 20), Structure("right", 21)))


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of three cases, of which ``held`` is validated on; label maps in a finer scheme under other names."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    raw, preprocessed = tmp_path / "raw" / "Dataset007_Two", tmp_path / "preprocessed" / "Dataset007_Two"
    for folder in (raw / "imagesTr", raw / "labelsTr", preprocessed, tmp_path / "fine"):
        folder.mkdir(parents=True)
    coarse = LabelScheme.from_nnunet({"labels": {"background": 0, "brain": 1, "ventricles": 2}}, name="Dataset007_Two")
    mapping = LabelMapping(FINE, coarse, {"brain": "brain", "left": "ventricles", "right": "ventricles"})
    for index, name in enumerate(("one", "two", "held")):
        fine = np.zeros((8, 8, 8), dtype=np.int16)
        fine[2:6, 2:6, 2:6] = 10
        fine[3, 3, 3 : 4 + index] = 20
        fine[4, 4, 3] = 21
        write_label(raw / "labelsTr" / f"{name}.nii.gz", mapping.apply(fine), np.eye(4))
        write_image(
            raw / "imagesTr" / f"{name}_0000.nii.gz", (50 + index) * (fine > 0)[None].astype(np.float32), np.eye(4)
        )
        write_label(tmp_path / "fine" / f"subject_{index}.nii.gz", fine, np.eye(4))
    described = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "brain": 1, "ventricles": 2}}
    (raw / "dataset.json").write_text(json.dumps({**described, "numTraining": 3, "file_ending": ".nii.gz"}))
    (preprocessed / "splits_final.json").write_text(json.dumps([{"train": ["one", "two"], "val": ["held"]}]))
    (tmp_path / "mapping.json").write_text(json.dumps(mapping.to_dict()))
    (tmp_path / "settings.json").write_text(json.dumps({"shape": [8, 8, 8]}))
    return tmp_path


@pytest.mark.parametrize(
    ("label_maps", "mapped", "named"),
    [("fine", True, "subject_2 (same as held)"), ("raw/Dataset007_Two/labelsTr", False, "held")],
)
def test_label_maps_of_validation_cases_are_refused_by_name(
    dataset: Path, label_maps: str, mapped: bool, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", "7", "--out", str(dataset / "out"), "--settings", str(dataset / "settings.json")]
    arguments += ["--label-maps", str(dataset / label_maps), "--device", "cpu"]
    arguments += ["--label-mapping", str(dataset / "mapping.json")] if mapped else []
    assert run(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert f"1 validation case(s) of fold 0 of Dataset007_Two are among them: {named}; " in error
    assert "--hold-out" in error
    assert not (dataset / "out").exists()


@pytest.mark.usefixtures("dataset")
def test_a_split_that_names_an_absent_case_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (split,) = tmp_path.rglob("splits_final.json")
    split.write_text(json.dumps([{"train": ["absent"], "val": ["held"]}]))
    assert run(["fit", "7", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert "fold 0 names absent" in error
    assert "\n" not in error


@pytest.mark.parametrize("system", ["guided-ldm", "medgen3d", "vid2vid", "ddpm2d"])
def test_a_dry_run_prints_settings_that_a_fit_takes(
    dataset: Path, capsys: pytest.CaptureFixture[str], system: str
) -> None:
    out = dataset / "out"
    arguments = ["fit", "7", "--generator", system, "--out", str(out), "--device", "cpu", "--dry-run"]
    assert run([*arguments, "--extend", "ventricles=0.001:0.1"]) == 0
    printed = capsys.readouterr()
    settings = json.loads(printed.out)
    assert settings["controls"][0] == "ventricles"
    assert settings["bank"]["volume_range_ml"] == [0.001, 0.1]
    assert "field of view 32 x 32 x 32 voxels of 1 mm" in printed.err
    (dataset / "plan.json").write_text(printed.out)
    assert run([*arguments, "--settings", str(dataset / "plan.json")]) == 0
    assert json.loads(capsys.readouterr().out) == settings
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--extend", "ventricles=9:3"], "--extend ventricles=9:3: NAME=LOW:HIGH"),
        (["--extend", "ventricles"], "--extend ventricles: NAME=LOW:HIGH"),
        (["--extend", "kidney=1:2"], "'kidney'"),
        (["--control", "brain,"], "--control brain,: an empty name"),
        (["--control", "brian"], "did you mean 'brain'"),
        (["--control", "brain", "--settings", "SETTINGS"], "--control and --settings"),
        (["--generator", "alpha-wgan", "--extend", "ventricles=1:2"], "--extend: alpha-wgan learns from pairs alone"),
        (["--init", "ventricles-t1-1mm", "--generator", "vid2vid"], "goes on from a guided-ldm, not from vid2vid"),
        (["--control", "brain", "--init", "ventricles-t1-1mm"], "--control and --init"),
        (["--init", "ventricles-t2"], "no generator 'ventricles-t2'"),
        (["--init", "ventricles-t1-1mm"], "could become"),
    ],
)
def test_wishes_that_cannot_be_are_one_line(
    dataset: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(dataset / "settings.json") if one == "SETTINGS" else one for one in arguments]
    assert run(["fit", "7", "--out", str(dataset / "out"), "--device", "cpu", *given]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "Traceback" not in error
    assert not (dataset / "out").exists()


def test_label_maps_are_held_out_by_name_of_those_that_are_given(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_label(tmp_path / f"{name}.nii.gz", np.ones((4, 4, 4), np.int16), np.eye(4))
    assert [path.name for path in find_label_maps([tmp_path], ["a"])] == ["b.nii.gz"]
    with pytest.raises(ConfigurationError, match="--hold-out c: no such label map; there are a, b"):
        find_label_maps([tmp_path], ["c"])
    with pytest.raises(ConfigurationError, match="none are given"):
        find_label_maps([], ["a"])


def test_settings_are_checked_against_the_structures_of_the_dataset(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content, message in (
        ({"controls": []}, "controls: is empty"),
        ({"controls": ["liver"]}, "no structure or group 'liver'"),
        ({"limits_ml": {"ventricles": [5, 2]}}, "limits_ml.ventricles: is 5 to 2 mL"),
        ({"bank": {"volume_range_ml": [9, 3]}}, "bank.volume_range_ml: is 9 to 3 mL"),
        ({"sampling": {"thin": ["csf"]}}, "sampling.thin: "),
        ({"spacing_mm": -1}, "spacing_mm"),
        ({"bank": {"label_variants": 0}}, "label_variants"),
        ({"unlabelled_classes": 99}, "unlabelled_classes"),
        ({"controls": ["ventricles", "ventricles"]}, "ventricles more than once"),
        ({"limits_ml": {"brain": [1, 2]}}, "limits_ml: brain is no control"),
        ({"image_autoencoder": {"batch": {"crop": [7, 7, 7]}}}, "image_autoencoder.batch.crop: is [7, 7, 7]"),
        ({"mask_diffusion": {"stage": {"share": 0.4, "max_steps": -5}}}, "max_steps"),
        ({"mask_diffusion": {"stage": {"share": 0.4, "learning_rate": -1.0}}}, "learning_rate"),
        ({"seed": 2**70}, "seed"),
    ):
        (dataset / "other.json").write_text(json.dumps({"sampling": {"thin": [], "one_piece": []}, **content}))
        assert run(["fit", "7", "--out", str(dataset / "out"), "--settings", str(dataset / "other.json")]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert message in error, content
        assert "other.json" in error
