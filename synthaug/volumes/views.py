"""Views of a volume: the directions along which it is cut into slices."""

from __future__ import annotations

from collections.abc import Mapping

VIEWS: Mapping[str, int] = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Axis of x, y, z along which the slices of a view follow each other."""
