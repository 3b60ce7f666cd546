"""``synthaug cache push`` and ``pull``: caches on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthaug.cli.cache_arguments import CacheArgument
from synthaug.cli.verbosity import JsonOption, print_json, tell

RepositoryArgument = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Data set on the Hugging Face hub.")]


def push(
    cache: CacheArgument,
    repository: RepositoryArgument,
    licence: Annotated[
        str | None, typer.Option(help="Licence, where the weights that made the cache state none.", show_default=False)
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see a new repository.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload a cache to the Hugging Face hub, with a card that carries the licence of the weights.

    Every byte is checked first. After an interruption the same command goes on. A repository that is there keeps its
    visibility, and is refused where it holds anything but a cache of the same generators.

    Example: synthaug cache push CACHE OWNER/NAME
    """
    from synthaug.store import Store
    from synthaug.store.hub import push as push_store

    commit = push_store(Store.open(cache), repository, licence=licence, private=not public, announce=tell)
    if as_json:
        print_json({"cache": str(cache), "repository": repository, "revision": commit})
        return
    typer.echo(f"{cache}: is at {repository} now; others get it with")
    typer.echo(f"synthaug cache pull {repository} --revision {commit} --out CACHE")


def pull(
    repository: RepositoryArgument,
    out: Annotated[Path, typer.Option(help="New folder for the cache.")],
    revision: Annotated[
        str | None,
        typer.Option(metavar="COMMIT", help="Full number of the commit; without one, it is said which is the newest."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Download a cache from the Hugging Face hub, at one commit; it appears when every byte was checked.

    Example: synthaug cache pull OWNER/NAME --revision COMMIT --out CACHE
    """
    from synthaug.store.hub import pull as pull_store

    store = pull_store(repository, out, revision=revision)
    facts = {"cache": str(out), "repository": repository, "revision": revision, "cases": len(store)}
    if as_json:
        print_json(facts)
    else:
        typer.echo(f"{out}: {len(store)} cases of {repository} at {revision}")
