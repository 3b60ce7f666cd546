"""Whether nnU-Net finds the trainer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nnunet_trainers.startup import DISCOVERY_FOLDER
from synthaug.diagnosis import trainers


def test_the_listed_folder_is_found_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", os.pathsep.join(["/elsewhere", DISCOVERY_FOLDER]))
    assert trainers.check_folder().status == "ok"


def test_a_missing_folder_is_mended_by_an_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTHAUG_NO_AUTODISCOVERY", raising=False)
    monkeypatch.setenv("nnUNet_extTrainer", "/elsewhere")
    check = trainers.check_folder()
    assert check.status == "failed"
    assert DISCOVERY_FOLDER in check.mend


def test_opting_out_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHAUG_NO_AUTODISCOVERY", "1")
    monkeypatch.setenv("nnUNet_extTrainer", "")
    assert trainers.check_folder().status == "warning"


def test_the_search_names_the_error_of_a_module_in_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_trainers.py").write_text("raise ImportError('no module for this trainer')\n")
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path))
    check = trainers.check_search("nnUNetTrainerThatIsNowhere")
    assert check.status == "failed"
    assert "no module for this trainer" in check.found


def test_the_search_finds_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", DISCOVERY_FOLDER)
    check = trainers.check_search()
    assert check.status == "ok", check.found
    assert "nnunet_trainers.trainers" in check.found


def test_a_fresh_python_without_the_start_up_file_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')  # -S: no site-packages, so no start-up file
    bare.chmod(0o755)
    monkeypatch.delenv("SYNTHAUG_NO_AUTODISCOVERY", raising=False)
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    assert trainers.check_start_up(str(bare)).status == "failed"
    monkeypatch.setenv("nnUNet_extTrainer", DISCOVERY_FOLDER)
    assert trainers.check_start_up(str(bare)).status == "warning"


def test_a_fresh_python_that_does_not_start_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTHAUG_NO_AUTODISCOVERY", raising=False)
    assert trainers.check_start_up(str(tmp_path / "nowhere")).status == "failed"


def test_a_train_command_of_another_environment_is_told(tmp_path: Path) -> None:
    script = tmp_path / "nnUNetv2_train"
    script.write_text("#!/opt/other/bin/python3\n")
    script.chmod(0o755)
    check = trainers.check_command(str(tmp_path))
    assert check.status == "warning"
    assert "/opt/other/bin/python3" in check.found
    script.write_text(f"#!{Path(sys.executable).parent / 'python3'}\n")
    assert trainers.check_command(str(tmp_path)).status == "ok"
    script.unlink()
    assert trainers.check_command(str(tmp_path)).status in ("warning", "failed")
