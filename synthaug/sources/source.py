"""A source of synthetic pairs, as a training loop sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from synthaug.labels import LabelScheme
from synthaug.volumes import LabeledVolume


@dataclass(frozen=True)
class Draw:
    """A pair that was chosen, and is read only when it is wanted.

    Attributes:
        name: the case's name: a view of the store, preprocessed for a trainer, has it under the same one.
        volumes_ml: known volumes in mL by structure or group: realised ones of a stored case, the targets of one that
            is yet to be made.
        seed: the seed that the generator is or was called with.
        read: gives the pair; None where no pair could be made (the loop then takes a real case and counts it).
        born: epoch in which it was made; None where it was there before.
        used: told by whoever takes the case from elsewhere than ``read``, which tells by itself.
        discard: likewise told where the case turns out to be damaged.
    """

    name: str
    volumes_ml: Mapping[str, float]
    seed: int
    read: Callable[[], LabeledVolume | None]
    born: int | None = None
    used: Callable[[], None] = lambda: None
    discard: Callable[[], None] = lambda: None


@runtime_checkable
class Source(Protocol):
    """Draws are a function of (seed, rank, epoch, index, progress) and of what the source holds, of nothing else.

    Attributes:
        scheme: label scheme of the label maps.
        channels: names of the image channels.
        structure: the structure or group whose volume is scheduled.
    """

    @property
    def scheme(self) -> LabelScheme: ...

    @property
    def channels(self) -> tuple[str, ...]: ...

    @property
    def structure(self) -> str: ...

    def __len__(self) -> int:
        """How many different pairs can be drawn."""
        ...

    def draw(self, index: int, *, seed: int, epoch: int, rank: int = 0, progress: float = 0.0) -> Draw | None:
        """Choose a pair.

        Args:
            index: number of the item in the epoch.
            seed: of the training run.
            epoch: from 0.
            rank: of the process in distributed training.
            progress: of the training, 0 to 1; where the schedule stands.

        Returns:
            The draw, or None where the source is empty at this moment.
        """
        ...
