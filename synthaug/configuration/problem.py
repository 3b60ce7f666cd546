"""What is wrong with one entry of a configuration, and the error that reports all such entries together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from synthaug.errors import ConfigurationError


@dataclass(frozen=True)
class Problem:
    """One wrong entry.

    Attributes:
        path: key path, joined by dots (``quality.max_attempts``).
        what: what is wrong with it, value included.
        allowed: what may stand there.
    """

    path: str
    what: str
    allowed: str = ""

    def __str__(self) -> str:
        return f"{self.path} {self.what}" + (f"; allowed: {self.allowed}" if self.allowed else "")


class InvalidConfigurationError(ConfigurationError):
    """All wrong entries of a configuration.

    Attributes:
        where: file or other origin of the configuration.
        problems: every wrong entry.
    """

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        self.where = where
        self.problems = tuple(problems)
        count = f"{len(self.problems)} mistakes: " if len(self.problems) > 1 else ""
        super().__init__(f"{where}: {count}" + " | ".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[InvalidConfigurationError], tuple[str, tuple[Problem, ...]]]:
        return type(self), (self.where, self.problems)
