"""Training cases placed on the generator's grid, with intensities brought to a common scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from synthaug.errors import GeometryError
from synthaug.generators.cases import CasePaths
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.volumes import CaseRecord, fingerprint_array, read_label, read_pair
from synthaug.volumes.grid import Grid, box_centre_mm, place_on_grid

WINDOW_PERCENTILE = 99.5
"""Foreground percentile that normalised intensity 1 stands for."""


@dataclass(frozen=True)
class FittingCase:
    """A training case on the generator's grid.

    Attributes:
        identifier: name of the case.
        label: ``(X, Y, Z)`` uint8.
        image: ``(C, X, Y, Z)`` float32, 0 in the background and about 1 at the brightest tissue, or None.
        window: intensity that 1 stands for, by channel; empty without an image.
        record: what the leakage guard remembers of it.
    """

    identifier: str
    label: torch.Tensor
    image: torch.Tensor | None
    window: tuple[float, ...]
    record: CaseRecord


def load_pair_case(paths: CasePaths, scheme: LabelScheme, channels: Sequence[str], grid: Grid) -> FittingCase:
    """Read an image with its label map.

    Raises:
        LabelError: a label outside the scheme.
        GeometryError: shapes or affines differ, or a structure lies outside the grid.
    """
    pair = read_pair(paths.images, paths.label, scheme, tuple(channels))
    affine = grid.affine_centred_at(box_centre_mm(pair.label > 0, pair.affine))
    label = place_on_grid(pair.label, pair.affine, grid, affine, is_label=True)
    _check_field_of_view(pair.label, label, pair.affine, grid, paths.label)
    image = np.stack([place_on_grid(one, pair.affine, grid, affine, is_label=False) for one in pair.image])
    image = image * (label > 0)
    window = tuple(float(np.percentile(one[label > 0], WINDOW_PERCENTILE)) for one in image)
    image = image / np.array(window, dtype=np.float32)[:, None, None, None]
    return FittingCase(
        identifier=paths.identifier,
        label=torch.from_numpy(label.astype(np.uint8)),
        image=torch.from_numpy(image.astype(np.float32)).clamp(max=1.5),
        window=window,
        record=CaseRecord(paths.identifier, fingerprint_array(pair.image), fingerprint_array(pair.label)),
    )


def load_label_case(path: Path, scheme: LabelScheme, grid: Grid, mapping: LabelMapping | None = None) -> FittingCase:
    """Read a label map without an image, for the mask stage.

    Args:
        path: NIfTI file.
        scheme: the generator's scheme.
        grid: the generator's grid.
        mapping: from the file's scheme to the generator's; None where they are the same.
    """
    label, affine = read_label(path, mapping.source if mapping else scheme)
    record = CaseRecord(path.name.removesuffix(".gz").removesuffix(".nii"), None, fingerprint_array(label))
    if mapping:
        label = mapping.apply(label)
    grid_affine = grid.affine_centred_at(box_centre_mm(label > 0, affine))
    placed = place_on_grid(label, affine, grid, grid_affine, is_label=True)
    _check_field_of_view(label, placed, affine, grid, path)
    return FittingCase(record.identifier, torch.from_numpy(placed.astype(np.uint8)), None, (), record)


def _check_field_of_view(label: np.ndarray, placed: np.ndarray, affine: np.ndarray, grid: Grid, path: Path) -> None:
    before = float((label > 0).sum()) * abs(np.linalg.det(affine[:3, :3])) / 1000
    after = float((placed > 0).sum()) * grid.voxel_volume_ml
    if after < 0.95 * before:
        raise GeometryError(
            f"{path}: {100 * (1 - after / max(before, 1e-9)):.0f} % of the labelled volume lies outside the field of "
            f"view {grid.shape} voxels of {grid.spacing_mm} mm; at most 5 % may: enlarge it or crop the case"
        )
