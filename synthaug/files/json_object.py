"""JSON files that hold one object, whoever wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synthaug.errors import ConfigurationError, SynthAugError


def read_json_object(
    path: Path, *, error: type[SynthAugError] = ConfigurationError, mend: str = "write it as one JSON object"
) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: the file.
        error: class of error to raise.
        mend: what to do about content that is none.

    Raises:
        error: missing, unreadable, not JSON, JSON that is no object, or an object with the same key twice.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repeats)
    except OSError as problem:
        raise error(
            f"{path}: cannot be read ({problem.strerror or problem}); check the path and its permissions"
        ) from problem
    except _RepeatedKeyError as problem:
        raise error(f"{path}: key {problem.args[0]!r} stands more than once in an object; give it once") from None
    except (ValueError, RecursionError) as problem:
        raise error(f"{path}: not JSON ({problem}); {mend}") from problem
    if not isinstance(content, dict):
        raise error(f"{path}: holds {type(content).__name__}, no JSON object; {mend}")
    return content


class _RepeatedKeyError(Exception):
    """A key that an object has twice, of which JSON readers take the last."""


def _without_repeats(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in entries:
        if key in found:
            raise _RepeatedKeyError(key)
        found[key] = value
    return found
