"""The verdict on one pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class QualityReport:
    """What the checks found.

    Attributes:
        passed: whether every check passed.
        reasons: short fixed names of the checks that failed, in the order of ``CHECKS``; rejects are counted by them.
        scores: the numbers behind the verdict (units in the names).
        details: one line for each reason that says what was found and what is allowed.
    """

    passed: bool
    reasons: tuple[str, ...]
    scores: dict[str, float]
    details: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form, as it stands in a case's provenance."""
        return {
            "passed": self.passed,
            "reasons": list(self.reasons),
            "scores": dict(self.scores),
            "details": dict(self.details),
        }

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> QualityReport:
        """The inverse of ``to_dict``."""
        return cls(
            bool(described["passed"]),
            tuple(described["reasons"]),
            dict(described["scores"]),
            dict(described.get("details", {})),
        )
