"""Versions of the form in which a store's head is written, and the steps from each to the next.

| version | what is new |
|---|---|
| 1 | one generator: ``generator``, ``fingerprint`` |
| 2 | ``generators``, a list with licences: the cases of several may lie in one store after a merge |

The files of a case have one form in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from synthaug.errors import StoreError

FORMAT, FORMAT_VERSION = "synthaug-cache", 2


def _list_of_generators(head: Mapping[str, Any]) -> dict[str, Any]:
    """Version 1 named one generator and no licence."""
    rest = {key: value for key, value in head.items() if key not in ("generator", "fingerprint")}
    maker = {"name": head["generator"], "sha256": head["fingerprint"], "licence": None}
    return {**rest, "generators": [maker]}


MIGRATIONS: Mapping[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _list_of_generators}
"""By the version that a step starts from; it leads to the next one. Steps change nothing that they are given."""


def migrated(head: Mapping[str, Any], version: int, where: str) -> dict[str, Any]:
    """A head in the present form.

    Args:
        head: as it was read, its seal checked.
        version: that it has.
        where: its file, for the message.

    Raises:
        StoreError: a version that this program does not read.
    """
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{where}: has format version {version}, this synthaug reads up to {FORMAT_VERSION}; update synthaug"
        )
    present = dict(head)
    for step in range(version, FORMAT_VERSION):
        if step not in MIGRATIONS:
            raise StoreError(
                f"{where}: has format version {version}, this synthaug reads {min(MIGRATIONS)} to {FORMAT_VERSION}; "
                "make the cache again"
            )
        present = {**MIGRATIONS[step](present), "format_version": step + 1}
    return present
