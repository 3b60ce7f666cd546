"""What the main process and the augmentation workers share: the epoch, and the count of what was drawn.

Workers are started once and live as long as the training does. They see neither attribute changes in the main process
nor each other, whatever the start method, so all of this is shared memory that travels to them with the dataset.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from typing import Any

import numpy as np

_EPOCH, _INDEX, _REAL, _EMPTY, _UNREADABLE = range(5)


@dataclass(frozen=True)
class DrawTicket:
    """Number of a draw: unique among all workers of this rank.

    Attributes:
        epoch: Epoch in which it was drawn.
        index: Its number within the epoch, from 0.
        progress: Position of the epoch in the training, 0 to 1.
    """

    epoch: int
    index: int
    progress: float


@dataclass(frozen=True)
class DrawCounts:
    """How often what was drawn since the training started.

    Attributes:
        cases: Draws of each synthetic case, int64 of shape ``(num_cases,)``.
        real: Draws of real cases, fallbacks included.
        empty: Fallbacks because no synthetic case fits the schedule.
        unreadable: Fallbacks because the synthetic case could not be read.
    """

    cases: np.ndarray
    real: int
    empty: int
    unreadable: int

    def since(self, earlier: DrawCounts) -> DrawCounts:
        """The draws after ``earlier``."""
        return DrawCounts(
            self.cases - earlier.cases,
            self.real - earlier.real,
            self.empty - earlier.empty,
            self.unreadable - earlier.unreadable,
        )


class SharedState:
    """Shared memory of one rank.

    Args:
        num_cases: Number of synthetic cases.
    """

    def __init__(self, num_cases: int) -> None:
        self._lock = multiprocessing.Lock()
        self._integers: Any = multiprocessing.RawArray("q", 5)
        self._progress: Any = multiprocessing.RawArray("d", 1)
        self._cases: Any = multiprocessing.RawArray("q", max(1, num_cases))
        self._num_cases = num_cases

    def set_epoch(self, epoch: int, num_epochs: int) -> None:
        """Say which epoch the draws belong to from now on; the numbers of a new epoch start at 0."""
        with self._lock:
            # workers draw ahead before the first epoch starts: beginning again at 0 would repeat those draws
            if self._integers[_EPOCH] != epoch:
                self._integers[_EPOCH] = epoch
                self._integers[_INDEX] = 0
            self._progress[0] = min(1.0, epoch / max(1, num_epochs))

    def next_draw(self) -> DrawTicket:
        """Take the next number."""
        with self._lock:
            index = self._integers[_INDEX]
            self._integers[_INDEX] = index + 1
            return DrawTicket(self._integers[_EPOCH], index, self._progress[0])

    def count_synthetic(self, case: int) -> None:
        """Count a draw of a synthetic case, by its position in the list of cases."""
        with self._lock:
            self._cases[case] += 1

    def count_real(self, *, empty: bool = False, unreadable: bool = False) -> None:
        """Count a draw of a real case, and why it stands in for a synthetic one if it does."""
        with self._lock:
            self._integers[_REAL] += 1
            self._integers[_EMPTY] += empty
            self._integers[_UNREADABLE] += unreadable

    def counts(self) -> DrawCounts:
        """What was drawn so far."""
        with self._lock:
            cases = np.array(self._cases[: self._num_cases], dtype=np.int64)
            return DrawCounts(cases, self._integers[_REAL], self._integers[_EMPTY], self._integers[_UNREADABLE])
