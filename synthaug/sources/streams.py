"""Names of the random streams, so that no two uses of one (seed, rank, epoch, index) draw the same numbers."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a stream is drawn for.

    The number stands first in the seed: NumPy reads ``[a, b]`` and ``[a, b, 0]`` alike, and a number at the end would
    meet an item's index. Large numbers keep apart from seeds that stand first elsewhere.
    """

    PLAN = 0x706C616E
    DRAW = 0x64726177
    DISTINCT = 0x64697374
    TRANSFORM = 0x7472616E
    LIVE = 0x6C697665


def stream(use: Stream, *place: int) -> np.random.Generator:
    """Random numbers for one use at one place, ``(seed, rank, epoch, index)`` or fewer."""
    return np.random.default_rng([int(use), *place])
