"""Fields of a configuration that say which values they allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

_KEY = "synthaug.setting"


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


def setting(
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[Any] | None = None,
    parse: Callable[[Any], Any] | None = None,
    help: str = "",
) -> Any:
    """A dataclass field with limits, which `load_config` enforces.

    Limits on numbers hold for each number in a tuple or dictionary too. A field without a default must be given.

    Args:
        default: as for `dataclasses.field`.
        default_factory: as for `dataclasses.field`.
        low: smallest number allowed.
        high: largest number allowed.
        above: numbers must be above it.
        below: numbers must be below it.
        choices: the values allowed.
        parse: makes the field's object from whatever form the user wrote (``parse_schedule``); the field's type is then
            not looked at, and an object that is already made must pass through it.
        help: what the field means.
    """
    limits = Limits(low, high, above, below, None if choices is None else tuple(choices), parse, help)
    arguments: dict[str, Any] = {"metadata": {_KEY: limits}}
    if default is not dataclasses.MISSING:
        arguments["default"] = default
    if default_factory is not dataclasses.MISSING:
        arguments["default_factory"] = default_factory
    return dataclasses.field(**arguments)


def limits_of(field: dataclasses.Field[Any]) -> Limits:
    """The limits that `setting` gave a field; none for a field made otherwise."""
    limits = field.metadata.get(_KEY)
    return limits if isinstance(limits, Limits) else Limits()
