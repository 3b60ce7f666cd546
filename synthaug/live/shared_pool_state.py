"""What trainings, their workers and the generating process tell each other, in a small file that all of them map."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import StoreError

STATE_NAME = "pool.state"
USE_ROWS = 128
"""Adding is not atomic: each process counts in the row of its process number."""

HEARTBEAT, BIN, INSERTED, REJECTED, BUSY_S, FROZEN, ENDING, READY = range(8)
WRITER_FIELDS = 8


class SharedPoolState:
    """Counters of uses, sign of life, what is being made, and what is not to be asked for.

    A file in the pool's folder, unlike a shared tensor, is found by the other ranks of a node too, reaches forked and
    spawned workers alike, and goes with the pool.

    Args:
        folder: of the pool.
        capacity: of the pool.
        bins: of volumes.
        create: begin anew; else the file of another process is opened.

    Raises:
        StoreError: the disk refuses, or there is no file of this size to open.
    """

    def __init__(self, folder: Path, capacity: int, bins: int, *, create: bool) -> None:
        self._path, self._capacity, self._bins = folder / STATE_NAME, capacity, bins
        if create:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._path.unlink(missing_ok=True)  # who maps the old one keeps it
                # written, not truncated to size: a full disk shows now, and not as a bus error later
                self._path.write_bytes(bytes(self._size))
            except OSError as error:
                raise StoreError(f"{self._path}: cannot be written ({error.strerror}); free space there") from error
        self._open()

    @property
    def _size(self) -> int:
        return 8 * ((USE_ROWS + 1) * self._capacity + WRITER_FIELDS + self._bins)

    def _open(self) -> None:
        try:
            with open(self._path, "r+b") as file:
                found = os.fstat(file.fileno()).st_size
                if found != self._size:
                    raise StoreError(f"{self._path}: has {found} bytes, {self._size} are needed; remove the pool")
                buffer = mmap.mmap(file.fileno(), self._size)
        except OSError as error:
            raise StoreError(
                f"{self._path}: cannot be opened ({error.strerror}); is the pool's writer there?"
            ) from error
        used = USE_ROWS * self._capacity
        self._uses = np.frombuffer(buffer, np.int64, used).reshape(USE_ROWS, self._capacity)
        self._writer = np.frombuffer(buffer, np.float64, WRITER_FIELDS, 8 * used)
        self._numbers = np.frombuffer(buffer, np.int64, self._capacity, 8 * (used + WRITER_FIELDS))
        self._banned = np.frombuffer(buffer, np.int64, self._bins, 8 * (used + WRITER_FIELDS + self._capacity))

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_capacity": self._capacity, "_bins": self._bins}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    # ------------------------------------------------------------------ uses

    def count_use(self, slot: int, number: int, times: int = 1) -> None:
        """Count a draw of a case, unless another one has its slot by now; many for a damaged one that is to go."""
        if self._numbers[slot] == number:
            self._uses[os.getpid() % USE_ROWS, slot] += times

    def uses(self) -> list[int]:
        """Draws by slot, over all processes."""
        return [int(one) for one in self._uses.sum(0)]

    def give_slot(self, slot: int, number: int) -> None:
        """A new case begins at 0 uses."""
        self._numbers[slot] = number
        self._uses[:, slot] = 0

    def keep_slot(self, slot: int, number: int) -> None:
        """The uses of a case stay as they are, where its slot is its own already."""
        if self._numbers[slot] != number:
            self.give_slot(slot, number)

    # ------------------------------------------------------------------ the generating process

    def beat(self) -> None:
        """Give a sign of life."""
        self._writer[HEARTBEAT] = time.monotonic()

    def silence_s(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - float(self._writer[HEARTBEAT])

    @property
    def ready(self) -> bool:
        """Whether the process that runs now has loaded its generator."""
        return bool(self._writer[READY])

    @ready.setter
    def ready(self, value: bool) -> None:
        self._writer[READY] = value

    @property
    def bin_in_work(self) -> int:
        """Bin of the volume that is being made; -1 for none."""
        return int(self._writer[BIN])

    @bin_in_work.setter
    def bin_in_work(self, value: int) -> None:
        self._writer[BIN] = value

    @property
    def inserted(self) -> int:
        """Cases that were added since the start."""
        return int(self._writer[INSERTED])

    @property
    def rejected(self) -> int:
        """Requests whose attempts were all rejected."""
        return int(self._writer[REJECTED])

    @property
    def busy_s(self) -> float:
        """Seconds that the generator worked."""
        return float(self._writer[BUSY_S])

    def count_work(self, seconds: float) -> None:
        """Count seconds of work, rests left out."""
        self._writer[BUSY_S] += seconds

    def count_made(self, *, inserted: bool) -> None:
        """Count a request that was worked on."""
        self._writer[INSERTED if inserted else REJECTED] += 1

    @property
    def frozen(self) -> bool:
        """Whether no more cases come."""
        return bool(self._writer[FROZEN])

    def freeze(self) -> None:
        """Say that no more cases come."""
        self._writer[FROZEN] = 1

    @property
    def ending(self) -> bool:
        """Whether the generating process is to end."""
        return bool(self._writer[ENDING])

    def end(self) -> None:
        """Ask the generating process to end."""
        self._writer[ENDING] = 1

    def banned(self) -> list[bool]:
        """Bins that are not to be asked for."""
        return [bool(one) for one in self._banned]

    def ban(self, number: int) -> None:
        """Ask for a bin no more."""
        self._banned[number] = 1
