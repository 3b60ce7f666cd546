"""``synthaug doctor``: what is wrong with the environment, and what mends it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from synthaug.diagnosis.check import Check


def doctor(
    dataset: Annotated[str | None, typer.Option(help="Also check this nnU-Net dataset (number or name).")] = None,
    cache: Annotated[Path | None, typer.Option(help="Also open and verify this cache.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check the environment, and say how to mend what is wrong.

    Exit code 1 where something fails; warnings alone leave it at 0.
    """
    checks = collect(dataset, cache)
    failed = [check for check in checks if check.status == "failed"]
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "checks": [check.to_dict() for check in checks]}, indent=1))
    else:
        _print(checks)
    raise typer.Exit(1 if failed else 0)


def collect(dataset: str | None = None, cache: Path | None = None) -> list[Check]:
    """All findings; what depends on a library that does not import is left out."""
    from synthaug.diagnosis import data, machine, trainers, versions

    checks = versions.check_versions()
    if any(check.status == "failed" and "torch" in check.name for check in checks):
        return checks + machine.check_folders() + machine.check_room()
    checks += trainers.check_discovery() + machine.check_devices() + machine.check_folders() + machine.check_room(cache)
    checks += data.check_generators()
    if dataset is not None:
        checks += data.check_dataset(dataset)
    if cache is not None:
        checks += data.check_cache(cache)
    return checks


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape

    signs = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "failed": "[red]failed[/] "}
    console = Console(highlight=False, soft_wrap=True)
    for check in checks:
        console.print(f"{signs[check.status]} [bold]{escape(check.name)}[/]: {escape(check.found)}")
        if check.mend:
            console.print(f"          mend: {escape(check.mend)}", style="cyan")
