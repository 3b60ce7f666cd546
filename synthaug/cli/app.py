"""``synthaug``: the table of commands, loaded one by one so that ``synthaug --help`` imports no torch."""

from __future__ import annotations

import errno
import functools
import importlib
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from synthaug.errors import ConfigurationError, SynthAugError

COMMANDS: dict[str, str] = {
    "sample": "Make a few pairs as NIfTI files, with a preview picture.",
    "precompute": "Build a cache of pairs, or continue one.",
    "cache": "Look into a cache: info, verify, export.",
    "fit": "Train a generator on the training cases of one fold.",
    "evaluate": "Measure what a generator or a cache is worth.",
    "study": "Compare trainings with and without synthetic cases on real test cases.",
    "report": "Show what a training with synthetic cases drew.",
    "doctor": "Check the environment, and say how to mend what is wrong.",
    "demo": "The main job end to end, with what is shipped.",
}
"""Name and help line of each command; its code is the function NAME, or ``app``, in ``synthaug/cli/NAME.py``."""

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
MISTAKEN_PATHS = {
    errno.EACCES: "choose another path, or change its permissions",
    errno.EDQUOT: "free some space, or choose another disk",
    errno.EEXIST: "choose another path",
    errno.EISDIR: "name a file, not a folder",
    errno.ELOOP: "choose another path, or mend the symbolic links",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOSPC: "free some space, or choose another disk",
    errno.ENOTDIR: "choose another path",
    errno.EPERM: "choose another path",
    errno.EROFS: "choose another path",
}
"""Operating system errors that a user mends (a missing or forbidden path, a full disk), and how."""

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Of the click that typer itself uses: its own copy in later releases."""


def main() -> None:
    """Entry point of the console script and of ``python -m synthaug``."""
    if not sys.warnoptions:  # what libraries will drop in later releases is not for users to read
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0, 1 (a check failed), 2 (a mistake) or 130 (interrupted)."""
    try:
        _refuse_empty_text(arguments)
        app = build_app(_called_command(arguments))
        code = app(args=list(arguments), prog_name="synthaug", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except SynthAugError as mistake:
        typer.echo(f"synthaug: {mistake}", err=True)
        return EXIT_MISTAKE
    except typer.Abort:
        return EXIT_INTERRUPTED
    except _UsageError as mistake:
        _show_usage_error(mistake, arguments)
        return EXIT_MISTAKE


def _refuse_empty_text(arguments: Sequence[str]) -> None:
    """An empty text (a shell variable that is not set) would be read as the current folder.

    Raises:
        ConfigurationError: there is one.
    """
    for before, word in zip(["", *arguments], arguments, strict=False):
        option, separator, value = word.partition("=")
        if not word or (option.startswith("--") and separator and not value):
            where = option or (before if before.startswith("-") else "argument")
            raise ConfigurationError(f"{where} '': is empty; give a value, and check the variable that it came from")


def _show_usage_error(mistake: Any, arguments: Sequence[str]) -> None:
    """A wrong, missing or unknown option or command in one line; a bare ``synthaug cache`` has shown its help."""
    if type(mistake).__name__ == "NoArgsIsHelpError":
        mistake.show()
        return
    context, parameter = mistake.ctx, getattr(mistake, "param", None)
    text = " ".join(mistake.format_message().split()).rstrip(".")
    if parameter is not None:
        options = [option for option in parameter.opts if option.startswith("--")]
        where = options[0] if options else (parameter.metavar or str(parameter.name).upper())
        if type(mistake).__name__ == "MissingParameter":
            text = f"{where}: is missing"
        else:
            where = " ".join([where, *_given(parameter.opts, arguments)])
            text = " ".join(f"{where}: {mistake.message}".split()).rstrip(".")
    command = context.command_path if context is not None else "synthaug"
    typer.echo(f"synthaug: {text}; see `{command} --help`", err=True)


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
            if mistake.errno not in MISTAKEN_PATHS or not isinstance(mistake.filename, str | bytes):
                raise
            typer.echo(f"synthaug: {_describe(mistake)}", err=True)
        except KeyboardInterrupt:
            typer.echo("synthaug: interrupted; run the same command again to continue", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        raise typer.Exit(EXIT_MISTAKE)

    return guarded


def _given(options: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """What an option was given, last; the message about it does not always say."""
    values = [value for word, value in itertools.pairwise(arguments) if word in options]
    values += [word.partition("=")[2] for word in arguments if word.partition("=")[0] in options and "=" in word]
    return values[-1:]


def _describe(mistake: OSError) -> str:
    """What is wrong with a path, naming the file that stands where a folder is needed."""
    path = Path(os.fsdecode(mistake.filename))
    if mistake.errno in (errno.EEXIST, errno.ENOTDIR):
        for part in (path, *path.parents):
            if os.path.lexists(part) and not part.is_dir():
                return f"{part}: is a file, and a folder is needed there; choose another path"
    return f"{path}: {mistake.strerror}; {MISTAKEN_PATHS[mistake.errno or 0]}"


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
