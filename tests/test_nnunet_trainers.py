"""How nnU-Net comes to find the trainers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnunet_trainers import startup

FOLDER = Path(startup.__file__).parent


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv(startup.VARIABLE, raising=False)
    monkeypatch.delenv(startup.OPT_OUT, raising=False)
    return monkeypatch


def test_the_folder_is_appended_once(variable: pytest.MonkeyPatch) -> None:
    variable.setenv(startup.VARIABLE, "/own")
    startup.install()
    startup.install()
    assert os.environ[startup.VARIABLE] == f"/own{os.pathsep}{startup.DISCOVERY_FOLDER}"


def test_the_folder_holds_one_module_and_is_no_package() -> None:
    assert [path.name for path in Path(startup.DISCOVERY_FOLDER).glob("*.py")] == ["synthaug_trainers.py"]


@pytest.mark.parametrize(("value", "expected"), [("1", None), ("true", None), ("0", startup.DISCOVERY_FOLDER)])
def test_opting_out(variable: pytest.MonkeyPatch, value: str, expected: str | None) -> None:
    variable.setenv(startup.OPT_OUT, value)
    variable.delenv(startup.VARIABLE, raising=False)
    startup.install()
    assert os.environ.get(startup.VARIABLE) == expected


@pytest.mark.parametrize("line", [
    (FOLDER / "synthaug_nnunet.pth").read_text(),
    "import pkgutil; pkgutil.resolve_name({!r})()".format((FOLDER / "synthaug_nnunet.start").read_text().strip()),
])  # fmt: skip
def test_the_start_up_lines_work_and_import_nothing_heavy(variable: pytest.MonkeyPatch, line: str) -> None:
    assert line.count("\n") <= 1
    assert line.startswith("import ")  # the only kind of line that site executes
    code = f"{line}\nimport os, sys; print(os.environ['nnUNet_extTrainer']); print(*sorted(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    folders, modules = done.stdout.splitlines()
    assert folders == startup.DISCOVERY_FOLDER
    assert not {"torch", "nnunetv2", "numpy", "synthaug"} & set(modules.split())


def test_trainers_live_in_an_installed_module_and_keep_nnunets_signature() -> None:
    import inspect
    import pickle

    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunet_trainers import trainers

    stock = list(inspect.signature(nnUNetTrainer.__init__).parameters)
    for name in trainers.__all__:
        trainer = getattr(trainers, name)
        assert "__" not in name  # nnU-Net splits folder names there
        assert pickle.loads(pickle.dumps(trainer)) is trainer
        assert list(inspect.signature(trainer.__init__).parameters) == stock
