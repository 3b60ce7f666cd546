"""``synthaug doctor``: what is wrong with the environment, and what mends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from synthaug.cli.completion import complete_dataset, complete_generator
from synthaug.cli.generator_options import DEFAULT_FOLD, FoldOption
from synthaug.cli.verbosity import JsonOption, is_quiet, print_json
from synthaug.diagnosis.check import Check
from synthaug.errors import ConfigurationError


def doctor(
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Also check this nnU-Net dataset (number or name), and whether the cache that it trains with, or that "
            "of --cache, or the generator, fits it.",
            autocompletion=complete_dataset,
        ),
    ] = None,
    fold: FoldOption = DEFAULT_FOLD,
    generator: Annotated[
        str | None,
        typer.Option(
            "--generator",
            "-g",
            help="Also load this generator: a shipped name, or a folder of weights.",
            autocompletion=complete_generator,
        ),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Also open and verify this cache.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the environment, and say how to mend what is wrong.

    Exit code 1 where something fails; warnings alone leave it at 0. --quiet shows only what is wrong.

    Example: synthaug doctor --dataset 501 --fold 0 --generator ventricles-t1-1mm
    """
    if fold != DEFAULT_FOLD and dataset is None:
        raise ConfigurationError(f"--fold {fold}: is of a dataset; give --dataset too, or leave --fold out")
    checks = collect(dataset, cache, generator=generator, fold=fold)
    failed = [check for check in checks if check.status == "failed"]
    if as_json:
        print_json({"ok": not failed, "checks": [check.to_dict() for check in checks]})
    else:
        _print([check for check in checks if check.status != "ok"] if is_quiet() else checks)
    raise typer.Exit(1 if failed else 0)


def collect(
    dataset: str | None = None, cache: Path | None = None, *, generator: str | None = None, fold: str = DEFAULT_FOLD
) -> list[Check]:
    """All findings; what depends on a library that does not import is left out.

    Args:
        dataset: number or name of an nnU-Net dataset.
        cache: folder of a cache; None: that which the dataset trains with, if it has one.
        generator: shipped name or folder.
        fold: of the dataset.
    """
    from synthaug.diagnosis import devices, machine, requirements, trainers, versions

    checks = [*versions.check_versions(), requirements.check_requirements(), imports := requirements.check_imports()]
    checks += machine.check_folders()
    if imports.status == "failed":
        return checks + _guarded("trainers", trainers.check_discovery) + machine.check_room(cache)
    checks += _guarded("trainers", trainers.check_discovery) + _guarded("devices", devices.check_devices)
    return checks + _guarded("data", lambda: _check_data(dataset, cache, generator, fold))


def _check_data(dataset: str | None, cache: Path | None, generator: str | None, fold: str) -> list[Check]:
    from synthaug.diagnosis import data, machine

    checks = data.check_generators()
    found = data.check_dataset(dataset, fold) if dataset is not None else []
    is_there = bool(found) and found[0].status == "ok"
    if dataset is not None and is_there and cache is None:
        cache = data.trained_cache(dataset)
    size = data.batch_bytes(dataset) if dataset is not None and is_there else None
    checks += machine.check_room(cache, size or machine.DEFAULT_BATCH_BYTES) + found
    made_by, form = None, None
    if generator is not None:
        loaded, made_by = data.check_generator(generator, dataset if is_there else None, fold)
        checks += loaded
    if cache is not None:
        checks += data.check_cache(cache)
        form = data.form_of_cache(cache)
    return checks + data.check_together(dataset if is_there else None, fold, made_by, form)


def _guarded(what: str, check: Callable[[], list[Check]]) -> list[Check]:
    """In a broken environment anything may raise anything, and the other findings are needed all the more."""
    try:
        return check()
    except Exception as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        mend = "mend what failed above first; if nothing did, report this as a defect"
        return [Check(what, "failed", f"{type(error).__name__}: {reason}", mend)]


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape

    signs = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "failed": "[red]failed[/] "}
    console = Console(highlight=False, soft_wrap=True)
    for check in checks:
        console.print(f"{signs[check.status]} [bold]{escape(check.name)}[/]: {escape(check.found)}")
        if check.mend:
            console.print(f"          mend: {escape(check.mend)}", style="cyan")
