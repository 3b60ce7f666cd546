"""The last decision about a voxel's label, taken so that structures have the volumes asked for."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import torch
from scipy import ndimage

ROUNDS = 6
"""Several structures are settled in turn, so many times over."""

REACH_VOXELS = 3
"""A structure of one piece may be so far from the piece that it was most probable to have."""

APART_SHARE = 0.018
"""Of its voxels may lie apart all the same, as tips of real inferior horns do, and more of them: a ventricle of which
2 % lie apart counts as one in pieces.
"""


def decide_labels(logits: torch.Tensor, voxels: Mapping[tuple[int, ...], int], *, largest_shift: float) -> torch.Tensor:
    """Most probable label of each voxel, borders moved a little so that structures have the voxels asked for.

    Where a border lies, within a voxel or two, is a matter of a small advantage of one label over another. One
    advantage for all labels of a structure, the least that will do, moves its whole border by a fraction of a voxel.

    Args:
        logits: ``(classes, ...)`` float32.
        voxels: how many voxels the labels with these ids are to have together.
        largest_shift: of the logits of a structure, either way; one that would need more gets what this gives.

    Returns:
        ``(...)`` integers.
    """
    most, label = logits.max(dim=0)
    if not voxels:
        return label
    # Most voxels are far from any border that may move; the others are all that has to be looked at.
    near = movable(logits, most, label, voxels, largest_shift)
    looked_at = logits[:, near]
    certain = torch.bincount(label[~near], minlength=len(logits)).tolist()
    shifts = dict.fromkeys(voxels, 0.0)
    for _ in range(ROUNDS if len(voxels) > 1 else 1):
        for ids, count in voxels.items():
            margin = margin_of(_shifted(looked_at, {**shifts, ids: 0.0}), ids)
            if margin.numel() == 0:
                continue
            wanted = count - sum(certain[one] for one in ids)
            last_inside = margin.kthvalue(margin.numel() + 1 - min(max(wanted, 1), margin.numel())).values
            shifts[ids] = min(max(-float(last_inside), -largest_shift), largest_shift)
    label[near] = most_probable(_shifted(looked_at, shifts))
    return label


def most_probable(logits: torch.Tensor) -> torch.Tensor:
    """Most probable label ``(...)`` by logits ``(classes, ...)``."""
    return logits.max(dim=0).indices  # on a CPU several times as fast as argmax


def movable(
    logits: torch.Tensor,
    most: torch.Tensor,
    label: torch.Tensor,
    voxels: Mapping[tuple[int, ...], int],
    largest_shift: float,
) -> torch.Tensor:
    """Voxels ``(...)`` bool whose most probable label can lose to another one, each shifted to its limit.

    Args:
        logits: ``(classes, ...)``.
        most: their maximum, ``(...)``.
        label: where it is.
        voxels: as for `decide_labels`.
        largest_shift: likewise.
    """
    reach = [largest_shift * sum(one in ids for ids in voxels) for one in range(len(logits))]
    least = most - torch.tensor(reach, device=logits.device)[label]
    rivals = torch.zeros(label.shape, dtype=torch.int8, device=logits.device)
    for one, own in enumerate(reach):
        rivals += logits[one] >= least - own  # the label itself always is one
    return rivals > 1


def reach_of_one_piece(inside: np.ndarray) -> np.ndarray:
    """Where a structure of one piece may be, ``(X, Y, Z)`` bool; everywhere for one that is nowhere.

    That is its largest piece and what is within `REACH_VOXELS` of it, and of the other pieces, largest first, as many
    as have `APART_SHARE` of its voxels together. Voxels that share a corner are of one piece.

    Args:
        inside: where it is most probable to be, ``(X, Y, Z)`` bool.
    """
    if not inside.any():
        return np.ones_like(inside)
    box = ndimage.find_objects(inside.view(np.uint8))[0]
    near = tuple(slice(max(one.start - REACH_VOXELS, 0), one.stop + REACH_VOXELS) for one in box)
    reach = np.zeros_like(inside)
    reach[near] = _reach_within(inside[near])
    return reach


def _reach_within(inside: np.ndarray) -> np.ndarray:
    pieces, count = ndimage.label(inside, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())[1:]
    main, *others = 1 + np.argsort(-sizes, kind="stable")
    reach = ndimage.binary_dilation(pieces == main, iterations=REACH_VOXELS)
    left, kept = APART_SHARE * sizes.sum(), np.zeros(count + 1, dtype=bool)
    for piece in others:
        left -= sizes[piece - 1]
        if left < 0:
            break
        kept[piece] = True
    return reach | kept[pieces]


def largest_component(label: torch.Tensor) -> torch.Tensor:
    """Label map ``(X, Y, Z)`` without specks that hang loose around the head."""
    components, count = ndimage.label(label.numpy() > 0)
    if count <= 1:
        return label
    largest = np.bincount(components.ravel())[1:].argmax() + 1
    return label * torch.from_numpy(components == largest)


def _shifted(logits: torch.Tensor, shifts: Mapping[tuple[int, ...], float]) -> torch.Tensor:
    offsets = torch.zeros(len(logits), device=logits.device)
    for ids, shift in shifts.items():
        offsets[list(ids)] += shift
    return logits + offsets.view(-1, *[1] * (logits.ndim - 1))


def margin_of(logits: torch.Tensor, ids: tuple[int, ...]) -> torch.Tensor:
    """How much more likely the likeliest of some labels is than the likeliest of the others, ``(...)`` of ``(classes,
    ...)``.
    """
    own = functools.reduce(torch.maximum, (one for number, one in enumerate(logits) if number in ids))
    return own - functools.reduce(torch.maximum, (one for number, one in enumerate(logits) if number not in ids))
