"""``synthaug``: the table of commands, loaded one by one so that ``synthaug --help`` imports no torch."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import itertools
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import typer

from synthaug.cli.verbosity import QuietOption, VerboseOption, speaking
from synthaug.errors import SynthAugError
from synthaug.mistakes import (
    EXIT_INTERRUPTED,
    EXIT_MISTAKE,
    leave_broken_stdout,
    one_line,
    refuse_empty_text,
    system_mistake,
)

COMMANDS: dict[str, str] = {
    "sample": "Make a few pairs as NIfTI files, with a preview picture.",
    "precompute": "Build a cache of pairs, or continue one.",
    "cache": "Look into a cache, and look after it: verify, prune, merge, export, push, pull.",
    "fit": "Train a generator on the training cases of one fold.",
    "evaluate": "Measure what a generator or a cache is worth.",
    "study": "Compare trainings with and without synthetic cases on real test cases.",
    "report": "Show what a training with synthetic cases drew.",
    "doctor": "Check the environment, and say how to mend what is wrong.",
    "demo": "The main job end to end, with what is shipped.",
}
"""Name and help line of each command; its code is the function NAME, or ``app``, in ``synthaug/cli/NAME.py``."""

CONTINUED = (
    "precompute",
    "fit",
    "study",
    "cache export",
    "cache merge",
    "cache prune",
    "cache pull",
    "cache push",
)
"""Commands that go on from where they were interrupted; the others begin anew."""

_UsageError: Any = typer.BadParameter.__bases__[0]
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
        refuse_empty_text(arguments)
        app = build_app(_called_command(arguments))
        code = app(args=list(arguments), prog_name="synthaug", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except SynthAugError as mistake:
        return _end_with(str(mistake), EXIT_MISTAKE, as_json="--json" in arguments)
    except OSError as mistake:  # stdout is full: of a command, `as_command` has told it
        told = system_mistake(mistake)
        if told is None:
            raise
        return _end_with(told, EXIT_MISTAKE, as_json=False)
    except (KeyboardInterrupt, typer.Abort):  # before the command itself runs
        return _end_with("interrupted", EXIT_INTERRUPTED, as_json="--json" in arguments)
    except _UsageError as mistake:
        if type(mistake).__name__ == "NoArgsIsHelpError":  # a bare `synthaug cache` has shown its help
            mistake.show()
            return EXIT_MISTAKE
        return _end_with(_usage_error(mistake, arguments), EXIT_MISTAKE, as_json="--json" in arguments)


def _end_with(text: str, code: int, *, as_json: bool) -> int:
    """Say in one line why a command ends; with ``--json`` the document on stdout says it, too, if it can be written."""
    typer.echo(f"synthaug: {one_line(text)}", err=True)
    if as_json:
        with contextlib.suppress(OSError):
            typer.echo(json.dumps({"error": text, "exit_code": code}, indent=1))
    leave_broken_stdout()
    return code


def _usage_error(mistake: Any, arguments: Sequence[str]) -> str:
    """A wrong, missing or unknown option or command in one line."""
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
    return f"{text}; see `{command} --help`"


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
                    # unwrapped: another application may have been built in this process
                    own = inspect.unwrap(command.callback)
                    called_by = f"{name} {command.name or own.__name__}"
                    command.callback = as_command(own, continued=called_by in CONTINUED)
            app.add_typer(sub_app, name=name, help=help_line)
        else:
            app.command(name)(as_command(getattr(module, name), continued=name in CONTINUED))
    return app


def as_command(command: Callable[..., Any], *, continued: bool = True) -> Callable[..., Any]:
    """Wrap a command with what all have in common.

    A user's mistake is one line on stderr and exit code 2, Ctrl-C is one line and exit code 130; with ``--json`` stdout
    is one JSON document then, too. ``--quiet`` and ``--verbose`` are added.

    Args:
        command: a function whose parameters are typer options; ``as_json`` is the one of ``--json``.
        continued: whether the same command, given again, goes on from where it was interrupted.
    """

    @functools.wraps(command)
    def guarded(*args: Any, quiet: bool = False, verbose: bool = False, **kwargs: Any) -> Any:
        as_json = bool(kwargs.get("as_json"))
        try:
            with speaking(quiet=quiet, verbose=verbose, as_json=as_json):
                return command(*args, **kwargs)
        except SynthAugError as mistake:
            code = _end_with(str(mistake), EXIT_MISTAKE, as_json=as_json)
        except OSError as mistake:
            told = system_mistake(mistake)
            if told is None:
                raise
            code = _end_with(told, EXIT_MISTAKE, as_json=as_json)
        except KeyboardInterrupt:
            again = "run the same command again to continue" if continued else "nothing is left half-written"
            code = _end_with(f"interrupted; {again}", EXIT_INTERRUPTED, as_json=as_json)
        raise typer.Exit(code) from None

    hints = get_type_hints(command, include_extras=True)
    own = [one.replace(annotation=hints[one.name]) for one in inspect.signature(command).parameters.values()]
    kind = inspect.Parameter.KEYWORD_ONLY
    shared = {"quiet": QuietOption, "verbose": VerboseOption}
    added = [inspect.Parameter(name, kind, default=False, annotation=option) for name, option in shared.items()]
    guarded.__dict__["__signature__"] = inspect.Signature([*own, *added])
    guarded.__annotations__ = {**hints, **shared}
    return guarded


def _given(options: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """What an option was given, last; the message about it does not always say."""
    values = [value for word, value in itertools.pairwise(arguments) if word in options]
    values += [word.partition("=")[2] for word in arguments if word.partition("=")[0] in options and "=" in word]
    return values[-1:]


def _print_version(wanted: bool) -> None:
    if wanted:
        from synthaug import __version__

        typer.echo(__version__)
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
