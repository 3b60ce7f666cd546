"""The table of commands and what a command's end looks like from outside."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from synthaug.cli import app
from synthaug.errors import BoundsError


def run_raising(error: BaseException) -> int:
    """Exit code of a command that raises ``error``."""

    def command() -> None:
        raise error

    one = typer.Typer()
    one.command()(app.as_command(command))
    with pytest.raises(SystemExit) as stop:
        one(args=[])
    return int(stop.value.code or 0)


def test_help_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from synthaug.cli.app import run; code = run(['--help']); "
        "sys.exit(code or bool({'torch', 'numpy', 'nnunetv2', 'monai', 'matplotlib'} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    for name in app.COMMANDS:
        assert name in finished.stdout


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_listed_command_exists_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert importlib.util.find_spec(f"synthaug.cli.{name}") is not None
    assert app.run([name, "--help"]) == 0
    assert "Usage: synthaug " + name in capsys.readouterr().out


def test_a_mistake_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_raising(BoundsError("ventricles=900 mL: allowed are 5 to 150 mL; ask for --extrapolate")) == 2
    printed = capsys.readouterr()
    assert printed.err == "synthaug: ventricles=900 mL: allowed are 5 to 150 mL; ask for --extrapolate\n"
    assert printed.out == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("line", ["cache info cache --json", "cache info nowhere --json", "cache --help", "--version"])
def test_a_stdout_that_takes_nothing_is_one_line_on_stderr(line: str, tmp_path: Path) -> None:
    made = "precompute --generator python:tests.stand_in_generator:make --schedule uniform:20:60 --num 1 --quiet"
    assert app.run([*made.split(), "--out", str(tmp_path / "cache")]) == 0
    with open("/dev/full", "w") as full:
        finished = subprocess.run(
            [sys.executable, "-m", "synthaug", *line.split()], stdout=full, stderr=subprocess.PIPE, text=True,
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(app.__file__).parents[2])},
        )  # fmt: skip
    assert finished.returncode == 2
    assert finished.stderr.startswith("synthaug: ")
    assert finished.stderr.count("\n") == 1


def test_a_missing_path_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_raising(FileNotFoundError(errno.ENOENT, "No such file or directory", "cases/a.nii.gz")) == 2
    assert capsys.readouterr().err == "synthaug: cases/a.nii.gz: No such file or directory; check the path\n"


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EDQUOT])
def test_a_path_that_the_system_refuses_is_one_line_with_a_mend(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(OSError(number, "refused", "somewhere")) == 2
    said = capsys.readouterr().err
    assert said.startswith("synthaug: somewhere: refused; ")
    assert said.count("\n") == 1


def test_a_file_where_a_folder_is_needed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "afile"
    file.touch()
    for error in (
        NotADirectoryError(errno.ENOTDIR, "Not a directory", str(file / "sub")),
        FileExistsError(errno.EEXIST, "File exists", str(file)),
    ):
        assert run_raising(error) == 2
        assert (
            capsys.readouterr().err
            == f"synthaug: {file}: is a file, and a folder is needed there; choose another path\n"
        )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sample --num 0 --out o", "--num 0: "),
        ("sample --num 1e3 --out o", "--num 1e3: "),
        ("sample --steps 0 --out o", "--steps 0: "),
        ("precompute --seed -1", "--seed -1: "),
        ("precompute --ratio abc", "--ratio abc: "),
        ("sample --num=-1 --out o", "--num -1: "),
        ("sample", "--out: is missing; name a folder for the files, see `synthaug sample --help`"),
        ("cache info", "CACHE: is missing"),
        ("sample --nmu 2 --out o", "--nmu"),
        ("cache nope", "nope"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(line.split()) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.startswith("synthaug: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["sample", "--out", ""], "--out"),
        (["sample", "--out="], "--out"),
        (["sample", "--generator", "", "--out", "o"], "--generator"),
        (["cache", "verify", ""], "argument"),
    ],
)
def test_an_empty_text_is_not_the_current_folder(
    arguments: list[str], where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(arguments) == 2
    assert capsys.readouterr().err.startswith(f"synthaug: {where} '': is empty;")


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["cache"]) == 2
    printed = capsys.readouterr()
    assert "export" in printed.out + printed.err


def test_an_interrupt_says_how_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_raising(KeyboardInterrupt()) == 130
    assert "run the same command again to continue" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "continues"),
    [("export", True), ("merge", True), ("prune", True), ("info", False), ("verify", False)],
)
def test_of_the_caches_commands_those_go_on_that_change_something(
    command: str, continues: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("synthaug.store.Store.open", interrupted)
    monkeypatch.setattr("synthaug.store.verification.verify_folder", interrupted)
    options = {"export": ["--out", "o"], "merge": ["other"], "prune": ["--where", "attempts>3"]}
    assert app.run(["cache", command, str(tmp_path), *options.get(command, [])]) == 130
    assert ("run the same command again to continue" in capsys.readouterr().err) is continues


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        app.as_command(lambda: 1 / 0)()


def test_an_unknown_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["smaple"]) == 2
    assert "sample" in capsys.readouterr().err


def test_version_is_that_of_the_installation(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("synthaug")


def test_completion_loads_the_command_that_is_being_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SYNTHAUG_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "synthaug doctor --da")
    assert app._called_command([]) == "doctor"
