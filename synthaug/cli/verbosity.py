"""How much a command says: results on stdout, everything else on stderr, by ``--quiet``, ``--verbose``, ``--json``."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from synthaug.errors import ConfigurationError

QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only results and errors: no notes, no progress.", show_default=False)
]
VerboseOption = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Also what is decided, and where files are.", show_default=False),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.", show_default=False)
]


def _picture(path: Path | None) -> Path | None:
    """Refuse what no picture can be written to, before any work is done.

    Raises:
        ConfigurationError: a folder, or a file that is not named as a PNG.
    """
    if path is not None and path.is_dir():
        raise ConfigurationError(f"--preview {path}: is a folder; name a file in it, such as {path / 'preview.png'}")
    if path is not None and path.suffix.lower() != ".png":
        raise ConfigurationError(f"--preview {path}: a PNG picture is drawn; give a name that ends in .png")
    return path


PreviewOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.png", help="Draw some of the pairs, from the smallest volume to the largest.", callback=_picture
    ),
]


@dataclass(frozen=True)
class Verbosity:
    """What a running command may say.

    Attributes:
        quiet: only results and errors.
        verbose: also what is decided, and where files are.
        document: stream of the one JSON document, where ``--json`` asks for it; else None.
    """

    quiet: bool = False
    verbose: bool = False
    document: TextIO | None = None


_NORMAL = Verbosity()
_current: ContextVar[Verbosity] = ContextVar("verbosity", default=_NORMAL)


@contextlib.contextmanager
def speaking(*, quiet: bool, verbose: bool, as_json: bool) -> Iterator[None]:
    """Set what a command may say while it runs.

    With ``as_json`` whatever else is printed, by nnU-Net for example, goes to stderr: stdout is the document's.

    Raises:
        ConfigurationError: both quiet and verbose.
    """
    if quiet and verbose:
        raise ConfigurationError("--quiet and --verbose: one asks for less, the other for more; give one of them")
    stdout = sys.stdout
    token = _current.set(Verbosity(quiet, verbose, stdout if as_json else None))
    try:
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            yield
    finally:
        _current.reset(token)


def is_quiet() -> bool:
    """Whether only results and errors are to be shown."""
    return _current.get().quiet


def is_verbose() -> bool:
    """Whether decisions and places are to be shown, too."""
    return _current.get().verbose


def tell(text: str) -> None:
    """Say what happens, on stderr; not where ``--quiet`` is given."""
    if not is_quiet():
        typer.echo(text, err=True)


def detail(text: str) -> None:
    """Say what was decided or where a file is, on stderr; only where ``--verbose`` is given."""
    if is_verbose():
        typer.echo(f"  {text}", err=True)


def print_json(facts: Mapping[str, Any]) -> None:
    """Print the document of ``--json``: once in a command, at its end.

    Numbers that JSON does not have, such as the Dice of a structure that neither map has, become null.

    Raises:
        OSError: what stdout leads to refuses; named so, as the system names nothing.
    """
    stream = _current.get().document or sys.stdout
    try:
        typer.echo(json.dumps(_finite(facts), indent=1, allow_nan=False), file=stream)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def log_to_stderr() -> None:
    """Have what long work logs shown with the time of day: warnings alone with ``--quiet``, more with ``--verbose``."""
    level = logging.WARNING if is_quiet() else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if is_verbose():
        logging.getLogger("synthaug").setLevel(logging.DEBUG)
