"""Mean and deviation of the intensities of each class: what networks of images know before they learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from synthaug.fitting.bank import Bank


def measure_classes(paths: Sequence[Path], num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation ``(num_classes, C)`` of the intensities of each class over pairs.

    Args:
        paths: pair files of the bank.
        num_classes: number of label values, background included; classes that no pair has are taken for all tissue.
    """
    sums: list[torch.Tensor] = []
    for path in paths:
        item = Bank.read(path)
        assert item.image is not None
        label, image = item.label.flatten().long(), item.image.flatten(1).double()
        powers = (torch.ones_like(image), image, image.square())
        sums.append(
            torch.stack([torch.stack([torch.bincount(label, one, num_classes) for one in power]) for power in powers])
        )
    count, first, second = torch.stack(sums).sum(0).movedim(-1, 1)
    tissue = [power[1:].sum(0, keepdim=True) for power in (count, first, second)]
    known = count > 0
    known[0] = False
    count, first, second = (
        torch.where(known, power, whole) for power, whole in zip((count, first, second), tissue, strict=True)
    )
    mean = first / count
    return mean.float(), (second / count - mean**2).clamp(min=0).sqrt().float()
