"""``synthaug cache``: what a cache holds, whether it is sound, and its cases as NIfTI files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthaug.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synthaug.store import Problem, Store

app = typer.Typer(no_args_is_help=True, help="Look into a cache: info, verify, export.")

CacheArgument = Annotated[Path, typer.Argument(metavar="CACHE", help="Folder that `synthaug precompute` made.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]

EXIT_PROBLEMS = 1


@app.command()
def info(cache: CacheArgument, as_json: JsonOption = False) -> None:
    """How many cases, of which generator, with which volumes, and what was rejected.

    Example: synthaug cache info CACHE --json
    """
    from synthaug.store import Store

    facts = cache_facts(Store.open(cache))
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for key in ("cache", "cases", "generator", "generator_sha256", "scheme", "channels", "training_cases", "bytes"):
        value = facts[key]
        typer.echo(f"{key:>16}  {', '.join(value) if isinstance(value, list) else value}")
    for name, volumes in facts["realised_ml"].items():
        summary = ", ".join(f"{key} {volumes[key]:.1f}" for key in ("min", "median", "max"))
        typer.echo(f"{name:>16}  {summary} mL")
    rejects = ", ".join(f"{reason} {count}" for reason, count in facts["rejects"].items())
    typer.echo(f"{'rejects':>16}  {rejects or 'none'}")


@app.command()
def verify(cache: CacheArgument, as_json: JsonOption = False) -> None:
    """Look at every byte; exit code 1 and the case's name where one is wrong.

    Example: synthaug cache verify CACHE
    """
    from synthaug.store.verification import LEFTOVER, count_cases, verify_folder

    found = verify_folder(cache)
    problems = [one for one in found if one.kind != LEFTOVER]
    leftovers = [one for one in found if one.kind == LEFTOVER]
    cases = count_cases(cache)
    if as_json:
        facts = {"cache": str(cache), "cases": cases, "problems": _listed(problems), "leftovers": _listed(leftovers)}
        typer.echo(json.dumps(facts, indent=1))
    else:
        for one in (*problems, *leftovers):
            typer.echo(str(one))
        more = f", {len(leftovers)} left by processes that are gone" if leftovers else ""
        typer.echo(f"{cache}: {cases} cases, {len(problems)} problems{more}")
    if any(problem.kind != "duplicate" for problem in problems):  # a duplicate is odd, but no byte of it is wrong
        raise typer.Exit(EXIT_PROBLEMS)


def _listed(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [{"name": p.name, "file": p.file, "kind": p.kind, "message": p.message} for p in problems]


@app.command()
def export(
    cache: CacheArgument,
    out: Annotated[Path, typer.Option(help="Folder to write to; made if it is not there.")],
    form: Annotated[
        str, typer.Option("--format", help="nifti: NIfTI files in the layout of a BIDS derivative.")
    ] = "nifti",
    as_json: JsonOption = False,
) -> None:
    """Write the cases for other programs, with their true affine.

    Example: synthaug cache export CACHE --format nifti --out DIR
    """
    from synthaug.store import Store
    from synthaug.store.nifti_export import export_nifti

    if form != "nifti":
        raise ConfigurationError(f"--format {form}: allowed is nifti")
    written = export_nifti(Store.open(cache), out)
    facts = {"out": str(out), "format": form, "cases": written}
    typer.echo(json.dumps(facts, indent=1) if as_json else f"{written} cases written to {out}")


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
        "generator": store.info.generator,
        "generator_sha256": store.info.fingerprint,
        "scheme": store.info.scheme.name,
        "channels": list(store.info.channels),
        "training_cases": len(store.info.training_cases),
        "bounds_ml": {name: list(limits) for name, limits in (store.info.bounds_ml or {}).items()},
        "realised_ml": realised,
        "rejects": dict(store.rejects),
        "bytes": sum(path.stat().st_size for path in store.folder.glob("cases/*/*") if path.is_file()),
    }
