"""``synthaug precompute --dataset`` and ``synthaug fit`` refuse copies of validation cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthaug.cli import fit_preparation
from synthaug.cli.app import run
from synthaug.cli.fit_preparation import prepare_fit
from synthaug.cli.fit_wishes import Wishes
from synthaug.generators.cases import CasePaths, case_record
from synthaug.integrations.nnunet.dataset import NnunetDataset
from tests.leaked_copies import COPIES, padded, renamed, saved_otherwise
from tests.raw_dataset import write_raw_dataset

Copy = Callable[[CasePaths, Path], CasePaths]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NnunetDataset:
    """A planned dataset of three cases, of which ``held`` is validated on."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    raw, preprocessed = (tmp_path / tree / "Dataset007_Heads" for tree in ("raw", "preprocessed"))
    write_raw_dataset(raw, ("held", "one", "two"))
    preprocessed.mkdir(parents=True)
    (preprocessed / "dataset.json").write_text((raw / "dataset.json").read_text())
    plans = {"configurations": {"3d_fullres": {}}, "image_reader_writer": "SimpleITKIO"}
    (preprocessed / "nnUNetPlans.json").write_text(json.dumps(plans))
    (preprocessed / "splits_final.json").write_text(json.dumps([{"train": ["one", "two"], "val": ["held"]}]))
    (tmp_path / "settings.json").write_text(json.dumps({"shape": [32, 32, 32], "spacing_mm": 4.0}))
    return NnunetDataset.find("7")


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line with which a command is refused, after what it told before."""
    assert run([*arguments, "--device", "cpu"]) == 2
    error = capsys.readouterr().err.strip()
    assert "Traceback" not in error
    return error.splitlines()[-1]


@pytest.mark.parametrize("copy", COPIES)
def test_no_cache_is_begun_from_a_copy_of_a_validation_case(
    dataset: NnunetDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], copy: Copy
) -> None:
    copied = copy(dataset.cases["held"], tmp_path / "copy")
    arguments = ["precompute", "--dataset", "7", "--generator", "counterfactual", "--num", "1"]
    arguments += [
        "--cases",
        f"{copied.images[0]},{copied.label}",
        "--scheme",
        str(dataset.preprocessed / "dataset.json"),
    ]
    error = refusal(arguments, capsys)
    assert "1 validation case(s) of fold 0 of Dataset007_Heads: held (same image" in error
    assert not (dataset.preprocessed / "synthaug").exists()
    assert not (dataset.preprocessed / "synthaug.json").exists()


@pytest.mark.parametrize("copy", COPIES)
def test_no_fit_is_begun_with_a_label_map_of_a_validation_case(
    dataset: NnunetDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], copy: Copy
) -> None:
    copied = copy(dataset.cases["held"], tmp_path / "copy")
    arguments = ["fit", "7", "--out", str(tmp_path / "out"), "--settings", str(tmp_path / "settings.json")]
    error = refusal([*arguments, "--label-maps", str(copied.label.parent)], capsys)
    name = copied.identifier if copied.identifier == "held" else f"{copied.identifier} (same as held)"
    assert f"--label-maps: 1 validation case(s) of fold 0 of Dataset007_Heads are among them: {name}; " in error
    assert "--hold-out" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("copy", [renamed, saved_otherwise, padded])
def test_no_fit_is_begun_on_a_training_case_that_is_a_copy_of_a_validation_case(
    dataset: NnunetDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], copy: Copy
) -> None:
    assert dataset.raw is not None
    copied = copy(dataset.cases["held"], tmp_path / "copy")
    copied.images[0].rename(dataset.raw / "imagesTr" / copied.images[0].name)
    copied.label.rename(dataset.raw / "labelsTr" / copied.label.name)
    split = [{"train": ["one", "two", copied.identifier], "val": ["held"]}]
    (dataset.preprocessed / "splits_final.json").write_text(json.dumps(split))
    arguments = ["fit", "7", "--out", str(tmp_path / "out"), "--settings", str(tmp_path / "settings.json")]
    error = refusal(arguments, capsys)
    assert f"are among them: {copied.identifier} (same as held); " in error
    assert "splits_final.json" in error
    assert not (tmp_path / "out").exists()


def test_no_fit_is_begun_from_a_generator_that_has_seen_a_validation_case(
    dataset: NnunetDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = case_record(renamed(dataset.cases["held"], tmp_path / "copy"))
    begun: Any = SimpleNamespace(config=SimpleNamespace(training_cases=(seen,)))

    def prepare(dataset: NnunetDataset, paths: Any, wishes: Wishes, *given: Any, **more: Any) -> Any:
        return replace(prepare_fit(dataset, paths, replace(wishes, init=None), *given, **more), begun=begun)

    monkeypatch.setattr(fit_preparation, "prepare_fit", prepare)
    error = refusal(["fit", "7", "--out", str(tmp_path / "out"), "--init", "begun"], capsys)
    assert "--init begun: 1 validation case(s) of fold 0" in error
    assert "somebody_else (same as held); " in error
    assert "fitted on other cases" in error
    assert not (tmp_path / "out").exists()
