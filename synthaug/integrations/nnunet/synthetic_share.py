"""Which draws of an epoch are synthetic."""

from __future__ import annotations

import math

import numpy as np

BLOCK = 8
"""Draws that are dealt together: small enough for the ratio to hold in a short epoch."""

_OFFSET_STREAM, _ORDER_STREAM = 1, 2


def is_synthetic(fraction: float, *, seed: int, rank: int, epoch: int, index: int) -> bool:
    """Decide draw ``index`` of an epoch.

    Draws are dealt in blocks, each with the right number of synthetic draws in random order. The realised ratio is
    therefore right to less than a block, where independent draws would scatter, and there is no rhythm: nnU-Net
    oversamples foreground at fixed positions of a batch, which a regular alternation would tie to real or to
    synthetic cases.

    Args:
        fraction: Share of synthetic draws, 0 to 1.
        seed: Seed of the run.
        rank: Rank of this process among those that train together.
        epoch: Epoch.
        index: Number of the draw within the epoch.
    """
    block, position = divmod(index, BLOCK)
    # a random offset, the same for all blocks of an epoch, carries the rounding from block to block
    offset = np.random.default_rng([seed, rank, epoch, 0, _OFFSET_STREAM]).random()
    first, last = (math.floor(edge * BLOCK * fraction + offset) for edge in (block, block + 1))
    order = np.random.default_rng([seed, rank, epoch, block, _ORDER_STREAM]).permutation(BLOCK)
    return bool(order[position] < last - first)
