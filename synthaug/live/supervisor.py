"""Starts the generating process, watches it, and replaces it when it fails."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from typing import Any

from synthaug.errors import ConfigurationError
from synthaug.live.generating import ERROR_NAME, LiveTask, run_generator
from synthaug.live.shared_pool_state import SharedPoolState
from synthaug.mixing.shared_progress import SharedProgress

WATCH_S = 0.25
FIRST_BACK_OFF_S = 1.0
LONGEST_BACK_OFF_S = 60.0
GRACE_S = 3.0
LOADING_S = 300.0
"""Without a sign of life while libraries and weights are loaded."""


class Supervisor:
    """Keeps one generating process alive, as long as that leads anywhere.

    A process that dies, or is silent for too long, is replaced after a pause that doubles each time; a volume at which
    it died repeatedly is asked for no more. When nothing new has come in spite of that, the pool is frozen with a
    warning, and the training goes on with what there is.

    Args:
        task: what the process is to make.
        state: shared with it.
        place: where the training stands.
    """

    def __init__(self, task: LiveTask, state: SharedPoolState, place: SharedProgress) -> None:
        self._task = task
        self._state = state
        self._place = place
        self._context = multiprocessing.get_context("spawn")
        self._stop = threading.Event()
        self._process: SpawnProcess | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self.starts = 0
        self.reasons: list[str] = []
        self._crashes_by_bin: dict[int, int] = {}

    # ------------------------------------------------------------------ start and end

    def start(self) -> None:
        """Start the process; once.

        Raises:
            ConfigurationError: it was ended before.
        """
        if self._stop.is_set():
            raise ConfigurationError("live: the source was shut down; make a new one for another training")
        if self._thread is not None:
            return
        self._start_process()
        self._thread = threading.Thread(target=self._watch, name="synthaug-live", daemon=True)
        self._thread.start()

    def shutdown(self) -> None:
        """End the process; nothing of it is left."""
        if os.getpid() != self._owner:  # a forked worker has a copy of this object, but no child of its own
            return
        self._stop.set()
        self._state.end()
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            end(process, GRACE_S)
        if self._thread is not None:
            self._thread.join(timeout=GRACE_S)
            self._thread = None

    @property
    def alive(self) -> bool:
        """Whether a process is there."""
        process = self._process
        return process is not None and process.is_alive()

    @property
    def process_id(self) -> int | None:
        """Of the generating process; None where there is none."""
        process = self._process
        return None if process is None else process.pid

    @property
    def last_failure(self) -> str:
        """What ended the process last, in words; empty where nothing did."""
        try:
            told = (self._task.folder / ERROR_NAME).read_text()
        except OSError:
            told = ""
        reason = self.reasons[-1] if self.reasons else ""
        return f"{reason}: {told}" if reason and told else reason or told

    @property
    def restarts(self) -> int:
        """How often the process was replaced."""
        return max(0, self.starts - 1)

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a supervisor stays in the process that started it")

    # ------------------------------------------------------------------ watching

    def _start_process(self) -> None:
        with self._lock:
            if self._stop.is_set():
                return
            self._state.beat()
            self._state.ready = False
            self._state.bin_in_work = -1
            arguments = (self._task, self._state, self._place, os.getpid(), self.starts)
            process = self._context.Process(
                target=run_generator, args=arguments, name="synthaug-generator", daemon=True
            )
            with _thread_limits(self._task.options.threads):
                process.start()
            self._process = process
            self.starts += 1

    def _watch(self) -> None:
        inserted_before, fruitless = 0, 0
        while not self._stop.wait(WATCH_S):
            process = self._process
            if process is None:  # being ended
                return
            reason = self._failure(process)
            if reason is None:
                continue
            with self._lock:
                self._process = None
            end(process, 0.0)
            self.reasons.append(reason)
            self._blame()
            fruitless = fruitless + 1 if self._state.inserted == inserted_before else 1
            inserted_before = self._state.inserted
            if fruitless > self._task.options.most_restarts:
                self._freeze(reason)
                return
            if self._stop.wait(min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** (fruitless - 1))):
                return
            try:
                self._start_process()
            except OSError as error:  # no memory for another process
                self._freeze(f"cannot be started ({error.strerror})")
                return

    def _failure(self, process: SpawnProcess) -> str | None:
        if not process.is_alive():
            return f"ended with exit code {process.exitcode}"
        silence_s, limit_s = self._state.silence_s(), self._task.options.longest_silence_s
        if silence_s > (limit_s if self._state.ready else max(limit_s, LOADING_S)):
            return f"was silent for {silence_s:.0f} s"
        return None

    def _blame(self) -> None:
        """Count the failure for the volume that was in work; repeated ones are asked for no more."""
        number = self._state.bin_in_work
        if number < 0:
            return
        self._crashes_by_bin[number] = self._crashes_by_bin.get(number, 0) + 1
        if self._crashes_by_bin[number] >= self._task.options.most_failures:
            self._state.ban(number)

    def _freeze(self, reason: str) -> None:
        self._state.freeze()
        warnings.warn(
            f"synthaug: the generating process {reason}, after {self.restarts} restarts without a new case; no more "
            f"synthetic cases are made, and the training goes on with those at hand ({self.last_failure})",
            stacklevel=2,
        )


@contextlib.contextmanager
def _thread_limits(threads: int) -> Iterator[None]:
    """Variables that a process reads when it starts, for the one that is started now."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def end(process: SpawnProcess, grace_s: float) -> None:
    """End a process: wait, ask, insist."""
    with contextlib.suppress(ValueError):  # closed already
        process.join(grace_s)
        for insist in (process.terminate, process.kill):
            if not process.is_alive():
                break
            insist()
            process.join(2.0)
        deadline = time.monotonic() + 2.0
        while process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.close()
