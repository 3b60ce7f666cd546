"""JSON files that hold one object, whoever wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.files.bounded_reading import read_bounded
from synthaug.files.parsed_json import RepeatedKeyError, parse_json

MAX_BYTES = 32 << 20
"""Larger files are refused unread: a configuration that names 100,000 cases has 20 MB."""


def read_json_object(
    path: Path, *, error: type[SynthAugError] = ConfigurationError, mend: str = "write it as one JSON object"
) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: the file.
        error: class of error to raise.
        mend: what to do about content that is none.

    Raises:
        error: missing, unreadable, above `MAX_BYTES`, not JSON, JSON that is no object, or one with the same key twice.
    """
    try:
        text = read_bounded(path, MAX_BYTES, error=error, mend="name a file")
        content = parse_json(text)
    except OSError as problem:
        raise error(
            f"{path}: cannot be read ({problem.strerror or problem}); check the path and its permissions"
        ) from problem
    except RepeatedKeyError as problem:
        raise error(f"{path}: {problem}") from None
    except error:
        raise
    except ValueError as problem:
        raise error(f"{path}: not JSON ({problem}); {mend}") from problem
    if not isinstance(content, dict):
        raise error(f"{path}: holds {type(content).__name__}, no JSON object; {mend}")
    return content
