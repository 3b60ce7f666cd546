"""Fields of a configuration that say which values they allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_KEY = "synthaug.limits"


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a field allows beyond its type.

    Attributes:
        low: smallest number allowed.
        high: largest number allowed.
        above: numbers must be above it.
        below: numbers must be below it.
        choices: the values allowed.
        parse: makes the field's object from whatever form the user wrote; its `SynthAugError` is reported.
        help: what the field means, for documentation and command lines.
    """

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] | None = None
    parse: Callable[[Any], Any] | None = None
    help: str = ""

    def allows_number(self, number: float) -> bool:
        """Whether a number is within the limits."""
        return (
            (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def describe_range(self) -> str:
        """The limits in words (``from 0 to 1``), or an empty text where there are none."""
        words = []
        if self.low is not None and self.high is not None:
            words.append(f"from {self.low:g} to {self.high:g}")
        elif self.low is not None:
            words.append(f"{self.low:g} or more")
        elif self.high is not None:
            words.append(f"{self.high:g} or less")
        words += [f"above {self.above:g}"] if self.above is not None else []
        words += [f"below {self.below:g}"] if self.below is not None else []
        return ", ".join(words)


def allowed(
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[Any] | None = None,
    parse: Callable[[Any], Any] | None = None,
    help: str = "",
) -> Mapping[str, Any]:
    """Metadata of a dataclass field that limits its values: ``field(default=4, metadata=allowed(low=1))``.

    Limits on numbers hold for each number in a tuple or dictionary too.

    Args:
        low: smallest number allowed.
        high: largest number allowed.
        above: numbers must be above it.
        below: numbers must be below it.
        choices: the values allowed.
        parse: makes the field's object from whatever form the user wrote (``parse_schedule``); the field's type is then
            not looked at, and an object that is already made must pass through it.
        help: what the field means; stands in errors for what is allowed where there is a parser.
    """
    return {_KEY: Limits(low, high, above, below, None if choices is None else tuple(choices), parse, help)}


def limits_of(field: dataclasses.Field[Any]) -> Limits:
    """The limits of a field; none where its metadata names none."""
    found = field.metadata.get(_KEY)
    return found if isinstance(found, Limits) else Limits()
