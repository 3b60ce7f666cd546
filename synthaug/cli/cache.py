"""``synthaug cache``: what a cache holds, and whether it is sound; its other commands are in modules of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from synthaug.cli.cache_arguments import CacheArgument
from synthaug.cli.cache_changes import merge, migrate, prune
from synthaug.cli.cache_export import export
from synthaug.cli.cache_sharing import pull, push
from synthaug.cli.verbosity import JsonOption, PreviewOption, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synthaug.store import Problem, Store

app = typer.Typer(no_args_is_help=True, help="Look into a cache, and look after it.")

EXIT_PROBLEMS = 1


@app.command()
def info(cache: CacheArgument, preview: PreviewOption = None, as_json: JsonOption = False) -> None:
    """How many cases, of which generator, with which volumes, and what was rejected.

    Example: synthaug cache info CACHE --json
    """
    from synthaug.store import Store

    store = Store.open(cache)
    facts = cache_facts(store)
    if preview is not None:
        from synthaug.reports.cache_sheet import draw_cache

        draw_cache(preview, store)
        facts["preview"] = str(preview)
    if as_json:
        print_json(facts)
        return
    for key in ("cache", "cases", "scheme", "channels", "training_cases", "bytes"):
        value = facts[key]
        typer.echo(f"{key:>16}  {', '.join(value) if isinstance(value, list) else value}")
    for maker in facts["generators"]:
        typer.echo(f"{'generator':>16}  {maker['name']}, sha256 {maker['sha256']}, licence {maker['licence']}")
    for name, volumes in facts["realised_ml"].items():
        summary = ", ".join(f"{key} {volumes[key]:.1f}" for key in ("min", "median", "max"))
        typer.echo(f"{name:>16}  {summary} mL")
    rejects = ", ".join(f"{reason} {count}" for reason, count in facts["rejects"].items())
    typer.echo(f"{'rejects':>16}  {rejects or 'none'}")
    if preview is not None:
        typer.echo(f"{'preview':>16}  {preview}")


@app.command()
def verify(cache: CacheArgument, as_json: JsonOption = False) -> None:
    """Look at every byte; exit code 1 and the case's name where one is wrong.

    What may stay is told apart: duplicates, and what processes left behind that are gone. It does not count.

    Example: synthaug cache verify CACHE
    """
    from synthaug.store.verification import DUPLICATE, LEFTOVER, MAY_STAY, count_cases, verify_folder

    found = verify_folder(cache)
    problems = [one for one in found if one.kind not in MAY_STAY]
    duplicates = [one for one in found if one.kind == DUPLICATE]
    leftovers = [one for one in found if one.kind == LEFTOVER]
    cases = count_cases(cache)
    if as_json:
        facts = {
            "cache": str(cache),
            "cases": cases,
            "problems": _listed(problems),
            "duplicates": _listed(duplicates),
            "leftovers": _listed(leftovers),
        }
        print_json(facts)
    else:
        for one in problems:
            typer.echo(f"wrong: {one}")
        for one in (*duplicates, *leftovers):
            typer.echo(f"may stay: {one}")
        more = f", {len(duplicates)} duplicates" if duplicates else ""
        more += f", {len(leftovers)} left by processes that are gone" if leftovers else ""
        typer.echo(f"{cache}: {cases} cases, {len(problems)} problems{more}")
    if problems:
        raise typer.Exit(EXIT_PROBLEMS)


def _listed(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [{"name": p.name, "file": p.file, "kind": p.kind, "message": p.message} for p in problems]


for command in (export, prune, merge, migrate, push, pull):
    app.command()(command)


def cache_facts(store: Store) -> dict[str, Any]:
    """What ``cache info --json`` prints: volumes in mL by structure and group, rejects by reason, size in bytes."""
    import numpy as np

    entries = store.entries()
    names = [*store.info.scheme.names, *store.info.scheme.groups]
    realised = {}
    for name in names:
        volumes = [entry.realised_ml[name] for entry in entries if name in entry.realised_ml]
        if volumes:
            quantiles = np.quantile(volumes, (0.0, 0.5, 1.0)).tolist()
            realised[name] = dict(zip(("min", "median", "max"), quantiles, strict=True))
    return {
        "cache": str(store.folder),
        "cases": len(entries),
        "format_version": store.info.format_version,
        "generator": store.info.generator,
        "generator_sha256": store.info.fingerprint,
        "generators": [maker.to_dict() for maker in store.info.makers],
        "scheme": store.info.scheme.name,
        "channels": list(store.info.channels),
        "training_cases": len(store.info.training_cases),
        "bounds_ml": {name: list(limits) for name, limits in (store.info.bounds_ml or {}).items()},
        "realised_ml": realised,
        "rejects": dict(store.rejects),
        "bytes": sum(path.stat().st_size for path in store.folder.glob("cases/*/*") if path.is_file()),
    }
