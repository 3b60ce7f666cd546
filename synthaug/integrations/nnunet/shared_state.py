"""What the main process and the augmentation workers share: the epoch, and the count of what was drawn.

Workers are started once and live as long as the training does. They see neither attribute changes in the main process
nor each other, whatever the start method, so all of this is shared memory that travels to them with the dataset.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthaug.schedules import progress_of_epoch

_EPOCH, _INDEX, _REAL, _EMPTY, _UNREADABLE, _SYNTHETIC = range(6)

LOG_LENGTH = 1 << 16
"""Synthetic draws whose cases are remembered until the epoch's end."""


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
    """How many draws were made since the training started.

    Attributes:
        synthetic: Draws of synthetic cases.
        real: Draws of real cases, fallbacks included.
        empty: Fallbacks because no synthetic case fits the schedule.
        unreadable: Fallbacks because the synthetic case could not be read.
    """

    synthetic: int
    real: int
    empty: int
    unreadable: int

    def since(self, earlier: DrawCounts) -> DrawCounts:
        """The draws after ``earlier``."""
        return DrawCounts(
            self.synthetic - earlier.synthetic,
            self.real - earlier.real,
            self.empty - earlier.empty,
            self.unreadable - earlier.unreadable,
        )


@dataclass(frozen=True)
class DrawnCases:
    """Synthetic cases in the order in which they were drawn.

    Attributes:
        cases: What tells cases apart, int64 ``(N,)``.
        volumes_ml: Volume of the scheduled structure, ``(N,)``.
        born: Epoch in which each was made, -1 where it was there before, int64 ``(N,)``.
    """

    cases: np.ndarray
    volumes_ml: np.ndarray
    born: np.ndarray


class SharedState:
    """Shared memory of one rank."""

    def __init__(self) -> None:
        self._lock = multiprocessing.Lock()
        self._integers: Any = multiprocessing.RawArray("q", 6)
        self._progress: Any = multiprocessing.RawArray("d", 1)
        self._cases: Any = multiprocessing.RawArray("q", LOG_LENGTH)
        self._volumes: Any = multiprocessing.RawArray("d", LOG_LENGTH)
        self._born: Any = multiprocessing.RawArray("q", LOG_LENGTH)

    def set_epoch(self, epoch: int, num_epochs: int) -> None:
        """Say which epoch the draws belong to from now on; the numbers of a new epoch start at 0."""
        with self._lock:
            # workers draw ahead before the first epoch starts: beginning again at 0 would repeat those draws
            if self._integers[_EPOCH] != epoch:
                self._integers[_EPOCH] = epoch
                self._integers[_INDEX] = 0
            self._progress[0] = progress_of_epoch(epoch, num_epochs)

    def next_draw(self) -> DrawTicket:
        """Take the next number."""
        with self._lock:
            index = self._integers[_INDEX]
            self._integers[_INDEX] = index + 1
            return DrawTicket(self._integers[_EPOCH], index, self._progress[0])

    def count_synthetic(self, name: str, volume_ml: float, born: int | None = None) -> None:
        """Count a draw of a synthetic case.

        Args:
            name: Of the case.
            volume_ml: Of the scheduled structure.
            born: Epoch in which it was made; None where it was there before.
        """
        case = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
        with self._lock:
            place = self._integers[_SYNTHETIC] % LOG_LENGTH
            self._cases[place], self._volumes[place] = case, volume_ml
            self._born[place] = -1 if born is None else born
            self._integers[_SYNTHETIC] += 1

    def count_real(self, *, empty: bool = False, unreadable: bool = False) -> None:
        """Count a draw of a real case, and why it stands in for a synthetic one if it does."""
        with self._lock:
            self._integers[_REAL] += 1
            self._integers[_EMPTY] += empty
            self._integers[_UNREADABLE] += unreadable

    def counts(self) -> DrawCounts:
        """What was drawn so far."""
        with self._lock:
            return self._counts()

    def _counts(self) -> DrawCounts:
        return DrawCounts(*(self._integers[which] for which in (_SYNTHETIC, _REAL, _EMPTY, _UNREADABLE)))

    def drawn_since(self, earlier: DrawCounts) -> tuple[DrawCounts, DrawnCases]:
        """What was drawn so far, and the synthetic cases drawn after ``earlier``; the last ones if they are many."""
        with self._lock:
            now = self._counts()
            number = min(now.synthetic - earlier.synthetic, LOG_LENGTH)
            places = np.arange(now.synthetic - number, now.synthetic) % LOG_LENGTH
            logs = (np.frombuffer(log, kind) for log, kind in (
                (self._cases, np.int64), (self._volumes, np.float64), (self._born, np.int64)
            ))  # fmt: skip
            return now, DrawnCases(*(log[places] for log in logs))
