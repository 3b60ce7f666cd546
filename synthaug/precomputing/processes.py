"""This process among those that build a cache together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Share:
    """What one process begins with; afterwards it helps with whatever is still missing.

    Attributes:
        index: number of this process, from 0.
        count: number of processes.
        device: torch device that this process works on.
        has_own_log: this process is the first of those that write to the same terminal or log.
    """

    index: int = 0
    count: int = 1
    device: str = "cpu"
    has_own_log: bool | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process does what is to be done once, such as preparing a training."""
        return self.index == 0

    @property
    def reports(self) -> bool:
        """Whether this process shows progress and its summary: the first, and the first of each array task."""
        return self.is_main if self.has_own_log is None else self.has_own_log

    def order(self, length: int) -> list[int]:
        """All of ``range(length)``: the own share, then the others', beginning elsewhere in each process."""
        own = list(range(self.index, length, self.count))
        others = [i for i in range(length) if i % self.count != self.index]
        start = len(others) * self.index // self.count
        return own + others[start:] + others[:start]


def current_share(device: str = "auto") -> Share:
    """The share of this process among those that a launcher and SLURM have started; the only one otherwise.

    Processes never wait for each other: the store is all that they have in common, so that one may be lost. Where a
    device is given, nothing but the environment is looked at; otherwise accelerate assigns one.

    Args:
        device: ``auto`` for the device that accelerate assigns, or a torch device.
    """
    place = share_of(os.environ)
    if device != "auto":
        return replace(place, device=device)
    from accelerate import PartialState

    return replace(place, device=str(PartialState().device))


def share_of(environment: Mapping[str, str]) -> Share:
    """The share that the environment tells of, from the innermost to the outermost of what may have started it.

    A launcher (accelerate's, torchrun) numbers its processes, over several machines where they are joined; SLURM
    numbers the tasks of a step, each of which may be a launcher of its own; and the tasks of an array.
    """
    index, count = _numbered(environment, "RANK", "WORLD_SIZE")
    joined = _number(environment, "WORLD_SIZE", 1) > _number(environment, "LOCAL_WORLD_SIZE", 1)
    if not joined:  # a launcher over several machines has counted the tasks already
        task, tasks = _numbered(environment, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
        index, count = task * count + index, tasks * count
    # identifiers of an array need not begin at 0 nor be dense
    first, step = _number(environment, "SLURM_ARRAY_TASK_MIN", 0), _number(environment, "SLURM_ARRAY_TASK_STEP", 1)
    element = (_number(environment, "SLURM_ARRAY_TASK_ID", first) - first) // max(1, step)
    elements = max(1, _number(environment, "SLURM_ARRAY_TASK_COUNT", 1))
    return Share(element % elements * count + index, elements * count, has_own_log=index == 0)


def _numbered(environment: Mapping[str, str], own: str, all_of_them: str) -> tuple[int, int]:
    """A number and how many there are; (0, 1) where they do not fit together."""
    index, count = _number(environment, own, 0), _number(environment, all_of_them, 1)
    return (index, count) if 0 <= index < count else (0, 1)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdecimal() else default


@contextlib.contextmanager
def left_at_the_end() -> Iterator[None]:
    """Take this process out of accelerate's process group, if it has one, when the block ends; nobody is waited for."""
    from accelerate import PartialState

    try:
        yield
    finally:
        if PartialState._shared_state:
            PartialState().destroy_process_group()
