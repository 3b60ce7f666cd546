"""Label maps that were made last, kept for their images: quality control looks at label maps before images are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from synthaug.conditions import Condition


@dataclass(frozen=True, eq=False)
class MadeLabel:
    """A label map that a generator made.

    Attributes:
        label: ``(X, Y, Z)`` int16.
        details: of how it was made, for the provenance; JSON-ready.
        image: ``(C, X, Y, Z)`` that was made with it, where one was.
        seconds: that it took.
    """

    label: np.ndarray
    details: Mapping[str, Any] = field(default_factory=dict)
    image: np.ndarray | None = None
    seconds: float = 0.0


class KeptLabels:
    """Makes label maps that are asked for, but those of the last request only once.

    Args:
        make: makes label maps for conditions, a seed each.
    """

    def __init__(self, make: Callable[[Sequence[Condition], Sequence[int]], Sequence[MadeLabel]]) -> None:
        self._make = make
        self._last: dict[tuple[str, int], MadeLabel] = {}

    def get(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[MadeLabel]:
        """A label map for each condition and seed; those made together share their seconds evenly."""
        keys = [(condition.key(), seed) for condition, seed in zip(conditions, seeds, strict=True)]
        asked = dict(zip(keys, conditions, strict=True))
        missing = {key: condition for key, condition in asked.items() if key not in self._last}
        if missing:
            started = time.perf_counter()
            labels = self._make(list(missing.values()), [seed for _, seed in missing])
            seconds = (time.perf_counter() - started) / len(missing)
            made = {key: replace(label, seconds=seconds) for key, label in zip(missing, labels, strict=True)}
            self._last = {key: made[key] if key in made else self._last[key] for key in asked}
        return [self._last[key] for key in keys]
