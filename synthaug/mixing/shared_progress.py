"""Where a training stands, in memory that its data loader workers see too."""

from __future__ import annotations

from typing import Any

import torch

WORKER_SLOTS = 64


class SharedProgress:
    """Epoch, progress, and counters of passes and fallbacks in shared memory.

    A plain attribute that is set in the main process never reaches persistent workers: they hold a copy of the dataset
    from before. A shared tensor is inherited by forked and handed to spawned workers alike; pickled by ordinary means
    (to be saved), it is copied.

    Args:
        items: length of the dataset whose visits are counted.
    """

    def __init__(self, items: int = 0) -> None:
        self._place = torch.tensor([0.0, float("nan"), 0.0], dtype=torch.float64).share_memory_()
        self._visits = torch.zeros(items, dtype=torch.int32).share_memory_()
        self._begun = torch.zeros(WORKER_SLOTS, dtype=torch.int64).share_memory_()
        self._ended = torch.zeros(WORKER_SLOTS, dtype=torch.int64).share_memory_()
        self._fallbacks = torch.zeros(WORKER_SLOTS, dtype=torch.int64).share_memory_()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for tensor in (self._place, self._visits, self._begun, self._ended, self._fallbacks):
            if not tensor.is_shared():
                tensor.share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch, from 0."""
        return int(self._place[0])

    @property
    def progress(self) -> float | None:
        """Progress that was set explicitly, 0 to 1."""
        value = float(self._place[1])
        return None if value != value else value

    def set(self, epoch: int, progress: float | None) -> None:
        """Move on; workers see it with the next item that they make."""
        self._place[1] = float("nan") if progress is None else progress
        self._place[0] = epoch
        self._place[2] = 1.0
        self._visits.zero_()
        self._begun.zero_()
        self._ended.zero_()

    @property
    def told(self) -> bool:
        """Whether ``set`` was ever called."""
        return bool(self._place[2])

    def visit(self, index: int) -> int:
        """Count that an item was asked for; returns how often it was before."""
        earlier = int(self._visits[index])
        self._visits[index] = earlier + 1
        return earlier

    @property
    def visits(self) -> int:
        """How many items were asked for in this epoch."""
        return int(self._visits.sum())

    def begin_pass(self) -> int:
        """Count that all items are gone through, by this worker; returns how often they were before."""
        slot = _worker_slot()
        earlier = int(self._begun[slot])
        self._begun[slot] = earlier + 1
        return earlier

    def end_pass(self) -> None:
        """Count that this worker's last pass went through all items."""
        slot = _worker_slot()
        self._ended[slot] = self._begun[slot]

    @property
    def passes(self) -> int:
        """Passes over the items that are complete."""
        visited = int(self._visits.double().mean()) if len(self._visits) else 0
        return max(visited, int(self._begun.max()) - 1, int(self._ended.max()))

    @property
    def fallbacks(self) -> int:
        """How often a real case stood in for a synthetic one, over all workers."""
        return int(self._fallbacks.sum())

    def count_fallback(self) -> None:
        """Count one; each worker has a slot of its own, since adding is not atomic."""
        self._fallbacks[_worker_slot()] += 1


def _worker_slot() -> int:
    worker = torch.utils.data.get_worker_info()
    return 0 if worker is None else 1 + worker.id % (WORKER_SLOTS - 1)
