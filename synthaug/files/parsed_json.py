"""JSON that somebody else wrote: whatever is wrong with it is one kind of error."""

from __future__ import annotations

import json
from collections import Counter
from math import isfinite
from typing import Any


class RepeatedKeyError(ValueError):
    """A key that an object has twice, of which JSON readers take the last."""


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON text, all of which can be written again: finite numbers, and texts that have an encoding.

    Args:
        content: the text; bytes are UTF-8.

    Raises:
        RepeatedKeyError: an object has the same key twice; names it. A ``ValueError``, too.
        ValueError: it is no JSON, no UTF-8, nested too deeply to be read, or holds NaN, infinity or half a character.
    """
    text = content if isinstance(content, str) else content.decode("utf-8")
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_finite, parse_float=_finite)
        if "\\ud" in text.lower():  # such escapes come in pairs; one alone cannot be written anywhere
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _without_repeats(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(entries)
    if len(found) < len(entries):
        ((repeated, _),) = Counter(key for key, _ in entries).most_common(1)
        raise RepeatedKeyError(f"key {repeated!r} stands more than once in an object; give it once")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number
