"""The tables that ship with the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def shipped_names(kind: str) -> tuple[str, ...]:
    """Names of the shipped tables of a kind (``schemes`` or ``mappings``)."""
    folder = resources.files("synthaug.labels") / "tables" / kind
    return tuple(sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")))


def shipped_table(kind: str, name: str) -> dict[str, Any] | None:
    """Content of a shipped table, or None where none has the name."""
    if name not in shipped_names(kind):
        return None
    content: dict[str, Any] = json.loads(
        (resources.files("synthaug.labels") / "tables" / kind / f"{name}.json").read_text(encoding="utf-8")
    )
    return content
