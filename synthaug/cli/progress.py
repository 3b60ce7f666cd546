"""Progress on the terminal, with a time to go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from synthaug.cli.verbosity import is_quiet

Item = TypeVar("Item")


def track(
    items: Sequence[Item] | Iterable[Item], what: str, *, total: int | None = None, quiet: bool = False
) -> Iterator[Item]:
    """Go through items behind a progress bar on stderr; none with --quiet, or where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as TimeToGo

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeToGo())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or is_quiet() or not console.is_terminal) as progress:
        yield from progress.track(items, total=total, description=what)
