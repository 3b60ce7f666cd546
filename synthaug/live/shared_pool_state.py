"""What training, its workers and the generating process tell each other, in shared memory."""

from __future__ import annotations

import time
from typing import Any

import torch

WORKER_SLOTS = 64
HEARTBEAT, BIN, INSERTED, BUSY_S, REJECTED, FROZEN = range(6)


class SharedPoolState:
    """Counters of uses, sign of life, what is being made, and what is not to be asked for.

    Args:
        capacity: of the pool.
        bins: of volumes.
    """

    def __init__(self, capacity: int, bins: int) -> None:
        self._uses = torch.zeros(WORKER_SLOTS, capacity, dtype=torch.int64).share_memory_()
        self._writer = torch.zeros(6, dtype=torch.float64).share_memory_()
        self._writer[BIN] = -1
        self._banned = torch.zeros(bins, dtype=torch.bool).share_memory_()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for tensor in (self._uses, self._writer, self._banned):
            if not tensor.is_shared():
                tensor.share_memory_()

    # ------------------------------------------------------------------ uses

    def count_use(self, slot: int) -> None:
        """Count a draw; each worker has a row of its own, since adding is not atomic."""
        worker = torch.utils.data.get_worker_info()
        self._uses[0 if worker is None else 1 + worker.id % (WORKER_SLOTS - 1), slot] += 1

    def uses(self) -> list[int]:
        """Draws by slot, over all workers."""
        return [int(one) for one in self._uses.sum(0)]

    def forget_uses(self, slot: int) -> None:
        """A new case begins at 0."""
        self._uses[:, slot] = 0

    # ------------------------------------------------------------------ the generating process

    def beat(self) -> None:
        """Give a sign of life."""
        self._writer[HEARTBEAT] = time.monotonic()

    def silence_s(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - float(self._writer[HEARTBEAT])

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

    def count_made(self, seconds: float, *, inserted: bool) -> None:
        """Count a request that was worked on."""
        self._writer[BUSY_S] += seconds
        self._writer[INSERTED if inserted else REJECTED] += 1

    @property
    def frozen(self) -> bool:
        """Whether no more cases come."""
        return bool(self._writer[FROZEN])

    def freeze(self) -> None:
        """Say that no more cases come."""
        self._writer[FROZEN] = 1

    def banned(self) -> list[bool]:
        """Bins that are not to be asked for."""
        return [bool(one) for one in self._banned]

    def ban(self, number: int) -> None:
        """Ask for a bin no more."""
        self._banned[number] = True
