"""How pairs are made while a training runs."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

from synthaug.errors import ConfigurationError


@dataclass(frozen=True)
class LiveOptions:
    """Settings of the pool and of the process that fills it.

    Attributes:
        capacity: cases that the pool holds; a new one then takes the place of the one that is needed least.
        capacity_gb: limit of the pool's size in GB beside that; None for none.
        most_uses: draws of one case after which it makes room for a newer one; until that is there, it is drawn where
            no other case of its volume is.
        strict_uses: never draw a case more often than that, and have a real one stand in; a frozen pool is drawn from
            all the same.
        duty: share of the time that the generator works, 0 to 1; it rests for the remainder.
        threads: CPU threads of the generator.
        niceness: of the generator's process, 0 to 19.
        first: cases that the training waits for at its start.
        patience_s: longest wait for them.
        look_ahead: how far ahead of the training the pool is balanced, as a share of the training.
        most_restarts: starts of the process, without one new case between them, after which the pool is frozen.
        most_failures: crashes at one volume, or requests for it rejected one after the other, after which it is asked
            for no more.
        longest_silence_s: without a sign of life after which the process is replaced.

    Raises:
        ConfigurationError: a value out of range.
    """

    capacity: int = 64
    capacity_gb: float | None = None
    most_uses: int = 16
    strict_uses: bool = False
    duty: float = 1.0
    threads: int = 1
    niceness: int = 10
    first: int = 4
    patience_s: float = 600.0
    look_ahead: float = 0.05
    most_restarts: int = 5
    most_failures: int = 3
    longest_silence_s: float = 300.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("capacity", 1, 100_000),
            ("most_uses", 1, 1_000_000),
            ("threads", 1, 1024),
            ("niceness", 0, 19),
            ("first", 0, self.capacity),
            ("most_restarts", 1, 1000),
            ("most_failures", 1, 1000),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not low <= int(value) <= high:
                raise ConfigurationError(f"live.{name} is {value!r}; it must be a whole number from {low} to {high}")
        if not isinstance(self.strict_uses, bool):
            raise ConfigurationError(f"live.strict_uses is {self.strict_uses!r}; it must be true or false")
        for name, least, most in (
            *([] if self.capacity_gb is None else [("capacity_gb", 0.01, 1e6)]),
            ("duty", 0.001, 1.0),
            ("patience_s", 0.0, 1e6),
            ("look_ahead", 0.0, 1.0),
            ("longest_silence_s", 1.0, 1e6),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not least <= float(value) <= most:
                raise ConfigurationError(f"live.{name} is {value!r}; it must be a number from {least:g} to {most:g}")
