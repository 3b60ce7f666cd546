"""How far a run is, over all processes."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(frozen=True)
class Progress:
    """A moment of a run.

    Attributes:
        requested: how many cases are asked for.
        settled: how many of them are stored or given up, by whatever process.
        seconds: since the run began.
        settled_before: how many were settled when it began.
        rejected: how many attempts on these cases were rejected, by whatever process.
        rejects: how often for which reason; an attempt may have several.
        pace: cases per second lately, by all processes; None: that of the whole run.
        processes: how many are at work.
        waiting: cases that others hold, while this process has nothing left to begin.
    """

    requested: int
    settled: int
    seconds: float
    settled_before: int = 0
    rejected: int = 0
    rejects: Mapping[str, int] = field(default_factory=dict)
    pace: float | None = None
    processes: int = 1
    waiting: int = 0

    @property
    def seconds_to_go(self) -> float | None:
        """From the pace; None before the first case."""
        made = self.settled - self.settled_before
        if made <= 0:
            return None
        return (self.requested - self.settled) / (self.pace if self.pace is not None else made / self.seconds)

    def __str__(self) -> str:
        to_go = self.seconds_to_go
        left = "time to go unknown yet" if to_go is None else f"{_clock(to_go)} to go"
        counted = Counter(self.rejects).most_common()
        reasons = f" ({', '.join(f'{reason} {count}' for reason, count in counted)})" if counted else ""
        rejected = f", {self.rejected} rejected{reasons}" if self.rejected else ""
        if self.settled >= self.requested:
            return f"{self.settled}/{self.requested} cases{rejected}, done in {_clock(self.seconds)}"
        processes = f", {self.processes} processes" if self.processes > 1 else ""
        waiting = f", waiting for {self.waiting} that others hold" if self.waiting else ""
        return (
            f"{self.settled}/{self.requested} cases{rejected}{processes}{waiting}, {_clock(self.seconds)} gone, {left}"
        )


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
