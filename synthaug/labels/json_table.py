"""The tables that ship with the package, and the JSON files that users write in the same form."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from synthaug.errors import LabelError, SynthAugError


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


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        SynthAugError: missing or unreadable.
        LabelError: not JSON, or JSON that is not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SynthAugError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error
    except ValueError as error:
        raise LabelError(f"{path}: not JSON ({error}); write it as one JSON object") from error
    if not isinstance(content, dict):
        raise LabelError(f"{path}: holds {type(content).__name__}; write it as one JSON object")
    return content
