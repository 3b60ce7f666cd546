"""``synthaug demo`` end to end: nnU-Net's real command line tools, and the stand-in generator for speed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from synthaug.cli import app


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that the demo starts find the stand-in; what it sets for nnU-Net is taken back."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_n_proc_DA", "nnUNet_def_n_proc"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.usefixtures("environment")
def test_demo_trains_on_a_mix_and_shows_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = ["--generator", "python:tests.stand_in_generator:make"]
    short = ["--num", "2", "--epochs", "1", "--iterations", "2"]
    assert app.run(["demo", "--out", str(tmp_path), *generator, *short]) == 0
    printed = capsys.readouterr().out
    assert "STAND-INS, NOT PATIENTS" in printed
    assert "-tr nnUNetTrainerSynthAug" in printed
    facts = json.loads((tmp_path / "demo.json").read_text())
    assert facts["stand_ins"] is True
    assert len(facts["synthetic"]) == 2
    for case in facts["synthetic"]:
        assert case["realised_ml"]["ventricles"] == pytest.approx(case["requested_ml"]["ventricles"], rel=0.05)
    assert [epoch["epoch"] for epoch in facts["training"]] == [0]
    assert facts["training"][0]["synthetic"] > 0
    assert facts["training"][0]["real"] > 0
    assert all(name.startswith("standin_") for name in facts["dice"])
    assert (tmp_path / "real-and-synthetic.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "nnUNet_results").rglob("checkpoint_final.pth"))


@pytest.mark.parametrize("name", ["brains", "Dataset501", "DatasetX_Brains"])
def test_data_that_is_no_nnunet_dataset_is_refused_before_anything_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).mkdir()
    out = tmp_path / "out"
    assert app.run(["demo", "--out", str(out), "--data", str(tmp_path / name)]) == 2
    assert "DatasetXXX_Name" in capsys.readouterr().err
    assert not out.exists()


def test_data_without_images_is_refused_by_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "Dataset501_Brains"
    folder.mkdir()
    (folder / "dataset.json").write_text("{}")
    assert app.run(["demo", "--out", str(tmp_path / "out"), "--data", str(folder)]) == 2
    assert "imagesTr is missing" in capsys.readouterr().err
