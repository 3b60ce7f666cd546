"""Faces between voxels of different labels."""

from __future__ import annotations

import torch


def count_faces(label: torch.Tensor, classes: int) -> torch.Tensor:
    """Faces that voxels of each label share with voxels of each other one, ``(classes, classes)`` int64, symmetric.

    Args:
        label: ``(X, Y, Z)`` integers below ``classes``; what lies beyond the field of view is no face.
        classes: label values, background included.
    """
    faces = torch.zeros(classes**2, dtype=torch.int64, device=label.device)
    for axis, size in enumerate(label.shape):
        one, other = label.narrow(axis, 0, size - 1), label.narrow(axis, 1, size - 1)
        border = one != other
        faces += torch.bincount(one[border].long() * classes + other[border], minlength=len(faces))
    square = faces.view(classes, classes)
    return square + square.T


def contact_shares(faces: torch.Tensor) -> torch.Tensor:
    """Share of the faces of each label, a row, that each other one has: ``(classes, classes)`` float64."""
    return faces.double() / faces.sum(dim=1, keepdim=True).clamp(min=1)
