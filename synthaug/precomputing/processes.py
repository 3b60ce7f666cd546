"""This process among those that build a cache together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """What one process begins with; afterwards it helps with whatever is still missing.

    Attributes:
        index: number of this process, from 0.
        count: number of processes.
        device: torch device that this process works on.
    """

    index: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def is_main(self) -> bool:
        """Whether this process reports progress."""
        return self.index == 0

    def order(self, length: int) -> list[int]:
        """All of ``range(length)``: the own share, then the others', beginning elsewhere in each process."""
        own = list(range(self.index, length, self.count))
        others = [i for i in range(length) if i % self.count != self.index]
        start = len(others) * self.index // self.count
        return own + others[start:] + others[:start]


def current_share(device: str = "auto") -> Share:
    """The share of this process, from accelerate: one of several under its launcher, the only one otherwise.

    Processes never wait for each other: the store is all that they have in common, so that one may be lost. On a
    machine without an accelerator, accelerate leaves the processes of its launcher (and torchrun's) without a group;
    they are told apart by the launcher's own RANK and WORLD_SIZE then.

    Args:
        device: ``auto`` for the device that accelerate assigns, or a torch device.
    """
    from accelerate import PartialState

    state = PartialState()
    index, count = state.process_index, state.num_processes
    if count == 1:
        index, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    return Share(index, count, str(state.device) if device == "auto" else device)


@contextlib.contextmanager
def left_at_the_end() -> Iterator[None]:
    """Take this process out of accelerate's process group, if it has one, when the block ends; nobody is waited for."""
    from accelerate import PartialState

    try:
        yield
    finally:
        if PartialState._shared_state:
            PartialState().destroy_process_group()
