"""``synthaug``: the table of commands, loaded one by one so that ``synthaug --help`` imports no torch."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import typer

from synthaug.errors import SynthAugError

COMMANDS: dict[str, str] = {
    "sample": "Make a few pairs as NIfTI files, with a preview picture.",
    "precompute": "Build a cache of pairs, or continue one.",
    "cache": "Look into a cache: info, verify, export.",
    "fit": "Train a generator on the training cases of one fold.",
    "evaluate": "Measure what a generator or a cache is worth.",
    "doctor": "Check the environment, and say how to mend what is wrong.",
    "demo": "The main job end to end, with what is shipped.",
}
"""Name and help line of each command; its code is the function NAME, or ``app``, in ``synthaug/cli/NAME.py``."""

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
MISTAKEN_PATHS = {errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENOSPC, errno.ENOTDIR, errno.EROFS}
"""Operating system errors that a user mends: a missing or forbidden path, a full disk."""


def main() -> None:
    """Entry point of the console script and of ``python -m synthaug``."""
    if not sys.warnoptions:  # what libraries will drop in later releases is not for users to read
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0, 1 (a check failed), 2 (a mistake) or 130 (interrupted)."""
    try:
        build_app(_called_command(arguments))(args=list(arguments), prog_name="synthaug")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def build_app(called: str | None = None) -> typer.Typer:
    """The typer application, with the code of the command ``called`` and only the help lines of all others."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Fresh labelled volumes with the structure volumes you ask for, inside your training loop.",
    )
    app.callback()(_options)
    for name, help_line in COMMANDS.items():
        if name != called:
            app.command(name, help=help_line)(_not_loaded)
            continue
        module = importlib.import_module(f"synthaug.cli.{name}")
        sub_app = getattr(module, "app", None)
        if isinstance(sub_app, typer.Typer):
            for command in sub_app.registered_commands:
                if command.callback is not None:
                    command.callback = one_line_errors(command.callback)
            app.add_typer(sub_app, name=name, help=help_line)
        else:
            app.command(name)(one_line_errors(getattr(module, name)))
    return app


def one_line_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a command so that a user's mistake is one line on stderr and exit code 2, and Ctrl-C is exit code 130."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except SynthAugError as mistake:
            typer.echo(f"synthaug: {mistake}", err=True)
        except OSError as mistake:
            if mistake.errno not in MISTAKEN_PATHS or mistake.filename is None:
                raise
            typer.echo(f"synthaug: {mistake.filename}: {mistake.strerror}", err=True)
        except KeyboardInterrupt:
            typer.echo("synthaug: interrupted; run the same command again to continue", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        raise typer.Exit(EXIT_MISTAKE)

    return guarded


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("synthaug"))
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
    ),
) -> None:
    """Options of ``synthaug`` itself, before any command."""


def _not_loaded() -> None:
    raise AssertionError("only the called command is loaded, and this is another")


def _called_command(arguments: Sequence[str]) -> str | None:
    # shell completion hands over the words typed so far in a variable instead of the arguments
    words = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS")
    if words and "_SYNTHAUG_COMPLETE" in os.environ:
        arguments = words.split()[1:]
    return next((word for word in arguments if word in COMMANDS), None)
