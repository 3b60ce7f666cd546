"""The demo's folder and commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console

from synthaug.demo import workspace
from synthaug.errors import SynthAugError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> workspace.Workspace:
    monkeypatch.setattr(workspace, "_executable", lambda name: [sys.executable])
    return workspace.Workspace(tmp_path, Console(quiet=True))


def test_commands_see_nnunets_folders_and_what_is_added(folder: workspace.Workspace) -> None:
    code = "import os; print(os.environ['nnUNet_raw'], os.environ['EXTRA'])"
    log = folder.run(["python", "-c", code], extra={"EXTRA": "more"})
    assert log.read_text().split() == [str(folder.raw), "more"]


def test_a_command_that_fails_is_reported_with_its_last_lines_and_its_log(folder: workspace.Workspace) -> None:
    with pytest.raises(SynthAugError, match=r"exit code 3; .*\n.*out of memory") as error:
        folder.run(["python", "-c", "print('out of memory'); raise SystemExit(3)"])
    assert str(folder.logs) in str(error.value)


def test_each_command_has_a_log_of_its_own(folder: workspace.Workspace) -> None:
    assert len({folder.run(["python", "-c", "pass"]) for _ in range(3)}) == 3


def test_a_script_that_is_not_installed_is_named() -> None:
    with pytest.raises(SynthAugError, match="nnUNetv2_nowhere"):
        workspace._executable("nnUNetv2_nowhere")
