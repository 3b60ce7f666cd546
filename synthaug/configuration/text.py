"""Values that came as text, from an environment variable or a command line."""

from __future__ import annotations

import json
from typing import Any


class Text(str):
    """A value whose type is still to be read out of its characters.

    Attributes:
        origin: variable or option that it came from.
    """

    origin: str

    def __new__(cls, value: str, origin: str) -> Text:
        """A text with its origin."""
        text = super().__new__(cls, value)
        text.origin = origin
        return text

    def derive(self, value: str) -> Text:
        """A part of this text, from the same origin."""
        return Text(value.strip(), self.origin)

    def items(self) -> list[Any] | None:
        """Entries of a list: a JSON list, or parts between commas. None where it starts as JSON and is none."""
        if self.lstrip().startswith("["):
            return _json(self, list)
        return [self.derive(part) for part in self.split(",")] if self.strip() else []

    def pairs(self) -> dict[str, Any] | None:
        """Entries of an object: a JSON object, or ``a=1,b=2``. None where it is neither."""
        if self.lstrip().startswith("{"):
            return _json(self, dict)
        parts = [part.partition("=") for part in self.split(",")] if self.strip() else []
        if any(not separator for _, separator, _ in parts):
            return None
        return {name.strip(): self.derive(value) for name, _, value in parts}


def _json(text: str, kind: type[Any]) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, kind) else None
