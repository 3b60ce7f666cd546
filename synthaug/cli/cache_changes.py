"""``synthaug cache prune``, ``merge`` and ``migrate``: what changes a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthaug.cli.cache_arguments import CacheArgument
from synthaug.cli.verbosity import JsonOption, print_json

EXIT_DAMAGED = 1


def prune(
    cache: CacheArgument,
    where: Annotated[
        str,
        typer.Option(
            metavar="PREDICATE",
            help="Which cases: 'ventricles>120', 'attempts>3', 'realised error>5%', 'generator=NAME', joined by and, "
            "or, not and parentheses.",
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which, and remove none.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove cases by what they are, and what was derived from them.

    The same `synthaug precompute` makes them again: choose its schedule anew where they are not wanted.

    Example: synthaug cache prune CACHE --where "ventricles>120 or realised error>5%" --dry-run
    """
    from synthaug.store import Store, pruning
    from synthaug.store.predicate import Predicate

    store = Store.open(cache)
    predicate = Predicate.parse(where, store.info.scheme)
    if dry_run:
        entries = pruning.matching(store, predicate)
        lines = [pruning.described(entry) for entry in entries]
        names, remaining = [entry.name for entry in entries], len(store) - len(entries)
    else:
        pruned = pruning.prune(store, predicate)
        lines, names, remaining = [], list(pruned.names), pruned.remaining
    if as_json:
        facts = {"cache": str(cache), "where": where, "dry_run": dry_run, "cases": names, "remaining": remaining}
        print_json(facts)
        return
    for line in lines:
        typer.echo(line)
    done = "would be removed, and would remain" if dry_run else "removed, remain"
    typer.echo(f"{cache}: {len(names)} cases {done}: {remaining}")


def merge(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Cache that takes the cases in; made if it is new.")],
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="Caches that they come from; only read.")],
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy files, in place of hard links where these can be made.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take the cases of other caches with the same labels and channels into one.

    What the target has is left out, by name and by content; run it again after any interruption.

    Example: synthaug cache merge ALL first second
    """
    from synthaug.store import Store
    from synthaug.store.merging import merge as merge_stores

    opened = [Store.open(source) for source in sources]
    head = opened[0].info
    for one in opened[1:]:  # before a folder is made
        head = head.with_cases_of(one.info, opened[0].folder, one.folder)
    into = Store.open_or_create_like(target, opened[0].info)
    merged = merge_stores(into, opened, link=not copy)
    if as_json:
        facts = {
            "cache": str(target),
            "added": list(merged.added),
            "present": merged.present,
            "duplicates": merged.duplicates,
            "damaged": merged.damaged,
            "cases": merged.remaining,
            "generators": [maker.to_dict() for maker in into.info.makers],
        }
        print_json(facts)
    else:
        for name, same in merged.duplicates.items():
            typer.echo(f"left out: {name} holds the same arrays as {same}")
        for name, what in merged.damaged.items():
            typer.echo(f"left out: {name}: {what}")
        typer.echo(
            f"{target}: {len(merged.added)} cases added, {merged.present} were there, {len(merged.duplicates)} "
            f"duplicates and {len(merged.damaged)} damaged left out; {merged.remaining} cases now"
        )
    if merged.damaged:
        raise typer.Exit(EXIT_DAMAGED)


def migrate(cache: CacheArgument, as_json: JsonOption = False) -> None:
    """Write the head of a cache in the present format; older ones are read too, but older programs read no newer.

    Example: synthaug cache migrate CACHE
    """
    from synthaug.store import Store
    from synthaug.store.format_versions import FORMAT_VERSION

    store = Store.open(cache)
    before = store.info.format_version
    if before != FORMAT_VERSION:
        store.info.write(store.folder)
    if as_json:
        print_json({"cache": str(cache), "format_version_before": before, "format_version": FORMAT_VERSION})
    elif before == FORMAT_VERSION:
        typer.echo(f"{cache}: has format version {FORMAT_VERSION} already")
    else:
        typer.echo(f"{cache}: format version {before} became {FORMAT_VERSION}; no case was touched")
