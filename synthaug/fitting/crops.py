"""Random crops and flips of bank items, drawn from a torch generator that is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from synthaug.fitting.bank import Bank


class LabelMirror:
    """Left-right flip of label maps: the x axis is reversed and left and right structures change names.

    Args:
        mirror_ids: id on the other side, for every id of the scheme.
        flips: False for bodies that have no mirror image, such as trunks: each counts as its own.
    """

    def __init__(self, mirror_ids: dict[int, int], *, flips: bool = True) -> None:
        self._flips = flips
        self._table = torch.arange(max(mirror_ids, default=0) + 1, dtype=torch.uint8)
        for source, target in mirror_ids.items():
            self._table[source] = target

    def __call__(self, label: torch.Tensor) -> torch.Tensor:
        """Flip ``(X, Y, Z)``."""
        if not self._flips:
            return label
        return torch.from_numpy(np.take(self._table.numpy(), label.flip(0).numpy()))  # five times as fast as torch's

    def image(self, image: torch.Tensor) -> torch.Tensor:
        """Flip ``(C, X, Y, Z)``."""
        return image.flip(1) if self._flips else image

    def swap(self, counts: torch.Tensor) -> torch.Tensor:
        """Counts by label id, ``(ids,)``, of the mirror image of the label map that ``counts`` were taken from."""
        if not self._flips:
            return counts
        table = self._table.long()
        table = torch.cat([table, torch.arange(len(table), len(counts))])
        return counts[table]


def draw_index(count: int, generator: torch.Generator) -> int:
    """Uniform index below ``count``."""
    return int(torch.randint(count, (1,), generator=generator))


def draw_bool(probability: float, generator: torch.Generator) -> bool:
    """True with a probability."""
    return float(torch.rand(1, generator=generator)) < probability


def draw_label_crop(
    paths: Sequence[Path], mirror: LabelMirror, size: Sequence[int] | None, *, multiple: int, generator: torch.Generator
) -> torch.Tensor:
    """Crop of a random label map of the bank, mirrored or not; see :func:`draw_crop`. No size takes it whole."""
    label = Bank.read(paths[draw_index(len(paths), generator)]).label
    if draw_bool(0.5, generator):
        label = mirror(label)
    return label if size is None else label[draw_crop(label, size, multiple=multiple, generator=generator)]


def draw_crop(
    label: torch.Tensor, size: Sequence[int], *, multiple: int, generator: torch.Generator
) -> tuple[slice, slice, slice]:
    """Crop around a voxel of a randomly chosen structure, so that small structures are seen as often as large ones.

    Args:
        label: ``(X, Y, Z)``.
        size: voxels of the crop; axes shorter than it are taken whole.
        multiple: the crop starts at a multiple of this.
        generator: source of the draws.
    """
    present = torch.nonzero(torch.bincount(label.flatten())[1:]).flatten() + 1
    if len(present):
        chosen = present[draw_index(len(present), generator)]
        # A strided search is enough to aim a crop, and saves listing millions of voxels.
        candidates = torch.nonzero(label[::2, ::2, ::2] == chosen) * 2
        if not len(candidates):
            candidates = torch.nonzero(label == chosen)
        centre = candidates[draw_index(len(candidates), generator)].tolist()
    else:
        centre = [extent // 2 for extent in label.shape]
    slices = []
    for middle, wanted, extent in zip(centre, size, label.shape, strict=True):
        length = min(wanted, extent)
        jitter = draw_index(max(length // 2, 1), generator) - length // 4
        start = min(max(middle + jitter - length // 2, 0), extent - length)
        start -= start % multiple
        slices.append(slice(start, start + length))
    return slices[0], slices[1], slices[2]
