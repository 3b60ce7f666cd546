"""How nnU-Net's command is called for a run; what it does is tested with the real one in ``tests/integration``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.schedules import parse_mix
from synthaug.store import Store, StoreInfo
from synthaug.study import nnunet_training
from synthaug.study.held_out import HeldOut
from synthaug.study.nnunet_training import NnunetTraining, check_nnunet
from synthaug.study.pair_cache import PairCache
from synthaug.study.segmenters import NnunetSegmenter
from synthaug.volumes import read_label, write_label
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill
from tests.study.small_study import small_config, write_dataset

SEGMENTING = """
import json, os, pathlib, shutil, sys
name, configuration, fold = sys.argv[1:4]
trainer, plans = sys.argv[5], sys.argv[7]
own = pathlib.Path(os.environ["nnUNet_preprocessed"]) / name
(split,) = json.loads((own / "splits_final.json").read_text())
output = pathlib.Path(os.environ["nnUNet_results"]) / name / f"{trainer}__{plans}__{configuration}" / f"fold_{fold}"
(output / "validation").mkdir(parents=True)
for case in split["val"]:
    source = pathlib.Path(os.environ["nnUNet_raw"]) / name / "labelsTr" / f"{case}.nii.gz"
    shutil.copy(source, output / "validation")
(output / "validation" / "summary.json").write_text("{}")
"""
"""A stand-in for the command that finds what is true."""


def training(folder: Path, mix: str = "mixed:0.5") -> NnunetTraining:
    raw = folder / "Dataset900_Small"
    if not raw.exists():
        write_dataset(raw)
        generator = StandInGenerator()
        fill(Store.create(folder / "cache", StoreInfo.of(generator)), generator)
    config = small_config(raw, generators={"made": {"cache": str(folder / "cache")}}, schedules=[])
    held = HeldOut.of(config)
    return NnunetTraining(
        folder=folder / "run",
        segmenter=NnunetSegmenter(iterations=2),
        held=held,
        training=held.training[:2],
        cache=PairCache.of(config, "made", None, held.dataset, held.training, folder / "caches"),
        mix=parse_mix(mix),
        seed=5,
        steps=6,
        device=torch.device("cpu"),
    )


def calls(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(nnunet_training, "_console_script", lambda name: [sys.executable, "-c", code])


def test_a_run_has_a_split_and_a_configuration_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(monkeypatch, SEGMENTING)
    run = training(tmp_path)
    assert run.train(None)
    own = run.folder / "preprocessed" / "Dataset900_Small"
    assert json.loads((own / "splits_final.json").read_text()) == [
        {"train": ["train_0", "train_1"], "val": ["test_0", "test_1"]}
    ]
    settings = json.loads((own / "synthaug.json").read_text())
    assert (settings["mix"], settings["seed"], settings["epochs"], settings["iterations"]) == ("mixed:0.5", 5, 3, 2)
    assert Path(settings["cache"]) == (tmp_path / "cache").resolve()
    assert (own / "labelsTr").is_symlink()
    assert not (tmp_path / "Dataset900_Small" / "splits_final.json").exists()


def test_segmentations_are_compared_on_the_grid_of_the_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(monkeypatch, SEGMENTING)
    run = training(tmp_path)
    assert run.train(None)
    perfect, _ = run.test(["ventricles", "thalamus"], "ventricles")
    assert perfect.dice == {"ventricles": 1.0, "thalamus": 1.0}
    assert perfect.volume_ml == perfect.predicted_ml == pytest.approx(40, abs=0.1)
    segmented = run.output / "validation" / "test_0.nii.gz"
    label, affine = read_label(segmented, run.held.dataset.scheme)
    write_label(segmented, np.where(np.isin(label, run.held.dataset.scheme.resolve("thalamus")), 0, label), affine)
    lacking, _ = run.test(["ventricles", "thalamus"], "ventricles")
    assert lacking.dice == {"ventricles": 1.0, "thalamus": 0.0}
    calls(monkeypatch, "raise SystemExit(1)")
    assert run.train(None)  # it is done: nothing is called


@pytest.mark.parametrize(
    ("mix", "trainer"),
    [
        ("real", "nnUNetTrainerSynthAug"),
        ("synthetic", "nnUNetTrainerSynthAugOnly"),
        ("mixed:0.3", "nnUNetTrainerSynthAug"),
        ("synthetic-then-real:0.4", "nnUNetTrainerSynthAugPretrain"),
        ("mixed-then-real:0.3:0.4", "nnUNetTrainerSynthAug"),
    ],
)
def test_every_strategy_has_its_trainer(tmp_path: Path, mix: str, trainer: str) -> None:
    assert training(tmp_path, mix).trainer == trainer


def test_a_command_that_fails_is_told_with_its_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(monkeypatch, "print('out of memory'); raise SystemExit(3)")
    with pytest.raises(SynthAugError, match=r"exit code 3; .*train\.log ends: out of memory"):
        training(tmp_path).train(None)


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(monkeypatch, "import threading; threading.Event().wait()")
    assert not training(tmp_path).train(0.2)


WITH_A_LOADER = """
import subprocess, sys, time
loader = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("{file}", "w").write(str(loader.pid))
time.sleep(600)
"""


def test_what_a_command_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "loader"
    calls(monkeypatch, WITH_A_LOADER.format(file=file))
    assert not training(tmp_path).train(3.0)
    number = int(file.read_text())
    assert not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE


def test_an_interrupted_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(monkeypatch, "import sys; print(sys.argv[1:]); raise SystemExit(3)")
    run = training(tmp_path)
    run.output.mkdir(parents=True)
    (run.output / "checkpoint_latest.pth").touch()
    with pytest.raises(SynthAugError, match="'--c'"):
        run.train(None)


@pytest.mark.parametrize(
    ("configurations", "what"),
    [({"2d": {}}, "has no '3d_fullres'; it has 2d"), ({"3d_fullres": {}}, "run nnUNetv2_preprocess")],
)
def test_what_is_not_prepared_is_refused(tmp_path: Path, configurations: dict[str, Any], what: str) -> None:
    (tmp_path / "nnUNetPlans.json").write_text(json.dumps({"configurations": configurations}))
    with pytest.raises(ConfigurationError, match=what):
        check_nnunet(NnunetDataset("d", tmp_path / "raw", tmp_path), NnunetSegmenter())


def test_a_folder_that_nnunet_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="outside nnUNet_raw"):
        check_nnunet(NnunetDataset("d", tmp_path, tmp_path), NnunetSegmenter())


def test_the_budget_is_that_of_all_calls_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(monkeypatch, "import threading; threading.Event().wait()")
    assert not training(tmp_path).train(0.2)
    first = training(tmp_path).spent_seconds
    assert first >= 0.2
    calls(monkeypatch, "raise SystemExit(3)")
    assert not training(tmp_path).train(0.2)  # spent: nothing is called
    assert training(tmp_path).spent_seconds == first
    calls(monkeypatch, SEGMENTING)
    again = training(tmp_path)
    assert again.train(600)
    assert again.spent_seconds > first
