"""How far a run is, over all processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True)
class Progress:
    """A moment of a run.

    Attributes:
        requested: how many cases are asked for.
        settled: how many of them are stored or given up, by whatever process.
        seconds: since the run began.
        settled_before: how many were settled when it began.
        rejected: how many attempts this process rejected.
    """

    requested: int
    settled: int
    seconds: float
    settled_before: int = 0
    rejected: int = 0

    @property
    def seconds_to_go(self) -> float | None:
        """From the mean pace of this run; None before the first case."""
        made = self.settled - self.settled_before
        return None if made <= 0 else (self.requested - self.settled) * self.seconds / made

    def __str__(self) -> str:
        to_go = self.seconds_to_go
        left = "time to go unknown yet" if to_go is None else f"{_clock(to_go)} to go"
        rejected = f", {self.rejected} rejected" if self.rejected else ""
        if self.settled >= self.requested:
            return f"{self.settled}/{self.requested} cases{rejected}, done in {_clock(self.seconds)}"
        return f"{self.settled}/{self.requested} cases{rejected}, {_clock(self.seconds)} gone, {left}"


class ProgressLine:
    """Shows progress on one line of a terminal, or a line now and then in a log.

    Args:
        stream: standard error unless told.
        log_every_s: seconds between two lines where the stream is no terminal.
        clock: monotonic seconds.
    """

    def __init__(
        self, stream: TextIO | None = None, log_every_s: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._log_every_s = log_every_s
        self._clock = clock
        self._shown_at: float | None = None
        self._ended = False

    def __call__(self, progress: Progress) -> None:
        """Show a moment; the last one always, and once."""
        if self._ended:
            return
        now, last = self._clock(), progress.settled >= progress.requested
        self._ended = last
        if self._terminal:
            self._stream.write(f"\r\x1b[K{progress}" + ("\n" if last else ""))
        elif last or self._shown_at is None or now - self._shown_at >= self._log_every_s:
            self._stream.write(f"{progress}\n")
            self._shown_at = now
        self._stream.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
