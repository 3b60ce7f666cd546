"""Where a training stands, in memory that its data loader workers see too."""

from __future__ import annotations

from typing import Any

import torch

WORKER_SLOTS = 64


class SharedProgress:
    """Epoch, progress and a counter of fallbacks in shared memory.

    A plain attribute that is set in the main process never reaches persistent workers: they hold a copy of the dataset
    from before. A shared tensor is inherited by forked and handed to spawned workers alike; pickled by ordinary means
    (to be saved), it is copied.
    """

    def __init__(self) -> None:
        self._place = torch.tensor([0.0, float("nan")], dtype=torch.float64).share_memory_()
        self._fallbacks = torch.zeros(WORKER_SLOTS, dtype=torch.int64).share_memory_()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for tensor in (self._place, self._fallbacks):
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

    @property
    def fallbacks(self) -> int:
        """How often a real case stood in for a synthetic one, over all workers."""
        return int(self._fallbacks.sum())

    def count_fallback(self) -> None:
        """Count one; each worker has a slot of its own, since adding is not atomic."""
        worker = torch.utils.data.get_worker_info()
        self._fallbacks[0 if worker is None else 1 + worker.id % (WORKER_SLOTS - 1)] += 1
