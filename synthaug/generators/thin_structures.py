"""Sheets a voxel thin, settled where they are: each neighbourhood gets what the coarsest level holds of them there.

Detail loses thin structures, since elsewhere is always a little more probable. One shift for the whole head would bring
the volume back, but not to the places that lost it: around the cerebellum more is lost than over the cortex.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from synthaug.generators.volume_decision import margin_of

NEIGHBOURHOOD = 4
"""Edge of a neighbourhood in voxels of the coarsest level (32 mm where voxels have 1 mm): what a smaller one holds is
told less surely.
"""

ROUNDS = 2
"""Shifts are interpolated between neighbourhoods, which undoes a part of them each time."""


def neighbourhood_edges(size: Sequence[int]) -> tuple[int, ...]:
    """Edges that divide the coarsest level's size, at most `NEIGHBOURHOOD` each."""
    return tuple(next(edge for edge in range(NEIGHBOURHOOD, 0, -1) if extent % edge == 0) for extent in size)


def settle_neighbourhoods(
    logits: torch.Tensor, ids: tuple[int, ...], shares: torch.Tensor, *, largest_shift: float
) -> None:
    """Shift the logits of some labels, in place and smoothly over space, so that each neighbourhood holds its share.

    Args:
        logits: ``(classes, 8, x, y, z)`` float32; axis 1 runs over the voxels of each 2x2x2 block.
        ids: the labels.
        shares: of the voxels of each neighbourhood that they are to have together, ``(a, b, c)``, which divide ``(x, y,
            z)``.
        largest_shift: of the logits, either way.
    """
    margin = margin_of(logits, ids)
    size, grid = margin.shape[1:], shares.shape
    edges = [extent // count for extent, count in zip(size, grid, strict=True)]
    shift = torch.zeros(grid, device=logits.device)
    for _ in range(ROUNDS):
        near = _by_neighbourhood(margin + _interpolated(shift, size), edges)
        wanted = (shares.flatten() * near.shape[1]).round().long()
        for place, (margins, count) in enumerate(zip(near, wanted.tolist(), strict=True)):
            if count == int((margins > 0).sum()):
                continue
            last_inside = margins.kthvalue(margins.numel() + 1 - min(max(count, 1), margins.numel())).values
            shift.view(-1)[place] -= last_inside
        shift.clamp_(-largest_shift, largest_shift)
    logits[list(ids)] += _interpolated(shift, size)


def _interpolated(shift: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """A value for each neighbourhood ``(a, b, c)`` as a smooth field ``(x, y, z)``."""
    return functional.interpolate(shift[None, None], size=tuple(size), mode="trilinear")[0, 0]


def _by_neighbourhood(field: torch.Tensor, edges: Sequence[int]) -> torch.Tensor:
    """Voxels of each neighbourhood, ``(neighbourhoods, voxels)``, of a ``(8, x, y, z)`` field."""
    parts = [part for extent, edge in zip(field.shape[1:], edges, strict=True) for part in (extent // edge, edge)]
    return (
        field.reshape(len(field), *parts)
        .permute(1, 3, 5, 0, 2, 4, 6)
        .reshape(-1, len(field) * edges[0] * edges[1] * edges[2])
    )
