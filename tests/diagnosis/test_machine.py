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


def test_room_is_measured_where_a_new_folder_will_be(tmp_path: Path) -> None:
    disk, _ = machine.check_room(tmp_path / "new" / "cache")
    assert str(tmp_path) in disk.found


def test_shared_memory_must_hold_the_batches_that_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 64 * 2**20  # what containers begin with

    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: Usage)
    small = machine.check_shared_memory(1 << 20, workers=12, folder=tmp_path)
    assert small.status == "ok"
    large = machine.check_shared_memory(4 << 20, workers=12, folder=tmp_path)
    assert large.status == "warning"
    assert "--shm-size=1g" in large.mend
    workers = int(large.mend.rpartition("=")[2])
    assert machine.check_shared_memory(4 << 20, workers=workers, folder=tmp_path).status == "ok"
    assert machine.check_shared_memory(60 << 20, workers=12, folder=tmp_path).status == "failed"
    assert machine.check_shared_memory(60 << 20, workers=0, folder=tmp_path).status == "ok"


def test_a_finding_without_its_mend_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="mend"):
        Check("disk", "failed", "full")
