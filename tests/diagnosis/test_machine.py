"""Folders and room."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.diagnosis import machine
from synthaug.diagnosis.check import Check


def test_each_missing_nnunet_variable_comes_with_its_export(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in machine.NNUNET_FOLDERS:
        monkeypatch.delenv(variable, raising=False)
    assert [check.mend.split("=")[0] for check in machine.check_folders()] == [
        "export nnUNet_raw",
        "export nnUNet_preprocessed",
        "export nnUNet_results",
    ]


def test_a_variable_that_names_no_folder_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in machine.NNUNET_FOLDERS:
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "nowhere"))
    assert [check.status for check in machine.check_folders()] == ["ok", "ok", "failed"]


def test_little_room_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LOW_DISK_GB", float("inf"))
    disk, _ = machine.check_room(tmp_path)
    assert disk.status == "warning"
    assert "--out" in disk.mend


def test_the_speed_of_bfloat16_is_a_ratio_of_times() -> None:
    assert machine.bf16_speedup(size=8, channels=4, repeats=1) > 0


def test_a_finding_without_its_mend_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="mend"):
        Check("disk", "failed", "full")
