"""What a command says with ``--quiet``, ``--verbose`` and ``--json``."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import typer

from synthaug.cli import app
from synthaug.cli.verbosity import JsonOption, detail, is_quiet, is_verbose, print_json, tell
from synthaug.errors import SynthAugError


def run(command: Callable[..., None], *arguments: str) -> int:
    """Exit code of a command line."""
    one = typer.Typer()
    one.command()(app.as_command(command))
    try:
        one(args=list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def speak(as_json: JsonOption = False) -> None:
    tell("making a pair")
    detail("it lies in FOLDER")
    print("a library prints")
    if as_json:
        print_json({"pairs": 1})
    else:
        typer.echo("1 pair")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [((), "making a pair\n"), (("-q",), ""), (("--verbose",), "making a pair\n  it lies in FOLDER\n")],
)
def test_notes_go_to_stderr_as_asked_for(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(speak, *arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == told
    assert printed.out == "a library prints\n1 pair\n"


def test_with_json_stdout_is_the_document_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(speak, "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"pairs": 1}
    assert "a library prints" in printed.err


def test_numbers_that_json_does_not_have_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"dice": float("nan"), "of": [{"ratio": float("inf")}, (0.5, 1)]})
    assert json.loads(capsys.readouterr().out) == {"dice": None, "of": [{"ratio": None}, [0.5, 1]]}


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(SynthAugError("num 0: is too few"), 2, "num 0: is too few"), (KeyboardInterrupt(), 130, "interrupted")],
)
def test_with_json_an_error_is_a_document_too(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(as_json: JsonOption = False) -> None:
        raise error

    assert run(fail, "--json") == code
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["error"].startswith(said)
    assert document["exit_code"] == code
    assert printed.err == f"synthaug: {document['error']}\n"


def test_a_wrong_option_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["cache", "info", "nowhere", "--json", "--nope"]) == 2
    assert "--nope" in json.loads(capsys.readouterr().out)["error"]


def test_quiet_and_verbose_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(speak, "-q", "-v") == 2
    assert "give one of them" in capsys.readouterr().err


def test_a_command_leaves_nothing_behind() -> None:
    assert run(speak, "--quiet") == 0
    assert not is_quiet()
    assert not is_verbose()


def test_what_begins_anew_does_not_promise_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    one = typer.Typer()
    one.command()(app.as_command(stop, continued=False))
    with pytest.raises(SystemExit) as ended:
        one(args=[])
    assert ended.value.code == 130
    said = capsys.readouterr().err
    assert "continue" not in said
    assert said.count("\n") == 1
