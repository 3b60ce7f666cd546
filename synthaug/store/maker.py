"""A generator that cases of a store were made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Maker:
    """Which generator made cases, and under which licence they may be passed on.

    Attributes:
        name: the generator's name.
        fingerprint: sha256 (hex) of its weights and configuration.
        licence: of its weights, as their configuration states it; None where nothing is stated.
    """

    name: str
    fingerprint: str
    licence: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint[:12]})"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {"name": self.name, "sha256": self.fingerprint, "licence": self.licence}

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> Maker:
        """The inverse of ``to_dict``.

        Raises:
            KeyError, TypeError: a field is missing or no text.
        """
        name, fingerprint, licence = described["name"], described["sha256"], described.get("licence")
        if not (isinstance(name, str) and isinstance(fingerprint, str) and isinstance(licence, str | None)):
            raise TypeError("a generator's name, sha256 or licence is no text")
        return cls(name, fingerprint, licence)
