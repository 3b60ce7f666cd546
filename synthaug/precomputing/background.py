"""One thread beside the main flow, with a queue that cannot grow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, TypeVar

Job = TypeVar("Job")


class Background(Generic[Job]):
    """Works through jobs in the order in which they come, while the main flow goes on.

    At most one hand-over waits while another is worked on, so that memory and what a kill can lose stay bounded. An
    error in a job reaches the main flow at its next call; the jobs behind it are dropped. When the block ends, be it by
    Ctrl-C, what was handed over is finished first.

    Args:
        work: does one job.
        overlap: off: jobs are done by the caller, in ``put``.
    """

    def __init__(self, work: Callable[[Job], None], *, overlap: bool = True) -> None:
        self._work = work
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._at_work = False
        self._done = 0
        self._closing = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="synthaug-finishing", daemon=True) if overlap else None

    def __enter__(self) -> Background[Job]:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        if error is None:
            self._raise()

    def put(self, jobs: Sequence[Job]) -> None:
        """Hand jobs over, when those of the hand-over before have all been begun."""
        if self._thread is None:
            for job in jobs:
                self._work(job)
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._raise()
            self._waiting.extend(jobs)
            self._changed.notify_all()

    def is_idle(self) -> bool:
        """Whether everything that was handed over is done."""
        with self._changed:
            self._raise()
            return not (self._waiting or self._at_work)

    def wait(self) -> None:
        """Until the job at work, if there is one, is done."""
        with self._changed:
            done_before = self._done
            self._changed.wait_for(lambda: self._done != done_before or not (self._waiting or self._at_work))
            self._raise()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                job = self._waiting.popleft()
                self._at_work = True
                self._changed.notify_all()
            try:
                self._work(job)
            except BaseException as error:
                self._error = error
            del job  # an idle thread keeps no pair in memory
            with self._changed:
                self._at_work = False
                self._done += 1
                if self._error is not None:
                    self._waiting.clear()
                    self._closing = True
                self._changed.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
