"""A case of a store: its name, its short entry and its record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synthaug.conditions import Condition
from synthaug.errors import StoreError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")

IMAGE_FILE, LABEL_FILE, PROVENANCE_FILE, MARKER_FILE = "image.b2nd", "label.b2nd", "provenance.json", "done"
CASE_FILES = (IMAGE_FILE, LABEL_FILE, PROVENANCE_FILE, MARKER_FILE)


def case_name(generator_fingerprint: str, config_hash: str, condition: Condition, seed: int) -> str:
    """The name of the case that a request leads to.

    It is derived from all that determines the content, so that whoever makes the case, and whenever, gives it the
    same name, and a rerun finds what is there already.

    Args:
        generator_fingerprint: sha256 (hex) of weights and configuration.
        config_hash: sha256 (hex) of the options and of the quality limits.
        condition: target volumes in mL.
        seed: seed of the request.

    Returns:
        ``sa`` and 20 hex digits: letters and digits only, so that it can be a BIDS subject label.
    """
    described = "\n".join((generator_fingerprint, config_hash, condition.key(), str(int(seed))))
    return "sa" + hashlib.sha256(described.encode()).hexdigest()[:20]


def check_name(name: str) -> str:
    """The name, if it can be a folder of a store.

    Raises:
        StoreError: it has other characters, and might lead out of the store.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise StoreError(
            f"case name {name!r}: allowed are up to 100 letters, digits, '-' and '_', the first a letter or digit"
        )
    return name


@dataclass(frozen=True)
class CaseEntry:
    """What a source needs to know of a case to draw it.

    Attributes:
        name: the case's name.
        realised_ml: volume in mL of every structure and group, measured on the stored label map.
        requested_ml: the targets in mL.
        seed: the seed that the generator was called with.
        attempts: how many pairs were generated until one passed.
    """

    name: str
    realised_ml: Mapping[str, float]
    requested_ml: Mapping[str, float]
    seed: int
    attempts: int = 1

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "name": self.name,
            "realised_ml": dict(self.realised_ml),
            "requested_ml": dict(self.requested_ml),
            "seed": self.seed,
            "attempts": self.attempts,
        }

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> CaseEntry:
        """The inverse of ``to_dict``.

        Raises:
            StoreError: a field is missing or of another kind.
        """
        try:
            return cls(
                check_name(described["name"]),
                {str(k): float(v) for k, v in described["realised_ml"].items()},
                {str(k): float(v) for k, v in described["requested_ml"].items()},
                int(described["seed"]),
                int(described.get("attempts", 1)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"entry of a case: {error!r} is missing or of another kind; make the case again") from None


@dataclass(frozen=True)
class Problem:
    """Something that ``verify`` found.

    Attributes:
        name: the case, or "" for what belongs to none.
        file: the file or folder, relative to the store.
        message: what is wrong and how to mend it.
        kind: ``damaged``, ``incomplete``, ``missing``, ``foreign`` or ``orphan``; ``duplicate`` and ``leftover`` may
            stay.
    """

    name: str
    file: str
    message: str
    kind: str = field(default="damaged")

    def __str__(self) -> str:
        return f"{self.name or self.file}: {self.file}: {self.message}" if self.name else f"{self.file}: {self.message}"
