"""Training cases placed on the generator's grid, with intensities brought to a common scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from synthaug.errors import ConfigurationError, GeometryError, LabelError
from synthaug.generators.cases import CasePaths
from synthaug.generators.guided_ldm_config import WINDOW_PERCENTILE
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.volumes import CaseRecord, fingerprint_array, read_label, read_pair
from synthaug.volumes.grid import Grid, box_centre_mm, place_on_grid

NEGATIVE_SHARE = 0.01
"""At most this share of the foreground may be below 0: the generator makes intensities above 0 only."""

LARGEST_ID = 255
"""The bank keeps label maps as uint8."""


@dataclass(frozen=True)
class FittingCase:
    """A training case on the generator's grid.

    Attributes:
        identifier: name of the case.
        label: ``(X, Y, Z)`` uint8.
        image: ``(C, X, Y, Z)`` float32, 0 in the background and about 1 at the brightest tissue, or None.
        window: intensity that 1 stands for, by channel; empty without an image.
        record: what the leakage guard remembers of it.
        mapped_record: the same of its label map after the mapping to the generator's scheme, where that is another
            one: a dataset holds the map in this form.
    """

    identifier: str
    label: torch.Tensor
    image: torch.Tensor | None
    window: tuple[float, ...]
    record: CaseRecord
    mapped_record: CaseRecord | None = None

    @property
    def records(self) -> tuple[CaseRecord, ...]:
        """All that the leakage guard remembers of it."""
        return (self.record,) if self.mapped_record is None else (self.record, self.mapped_record)


def load_pair_case(paths: CasePaths, scheme: LabelScheme, channels: Sequence[str], grid: Grid) -> FittingCase:
    """Read an image with its label map.

    Raises:
        LabelError: a label outside the scheme, none at all, or ids that the networks do not take.
        GeometryError: shapes or affines differ, or a structure lies outside the grid.
        ConfigurationError: intensities that are not above 0.
    """
    pair = read_pair(paths.images, paths.label, scheme, tuple(channels))
    _check_labels(pair.label, scheme, paths.label)
    affine = grid.affine_centred_at(box_centre_mm(pair.label > 0, pair.affine))
    label = place_on_grid(pair.label, pair.affine, grid, affine, is_label=True)
    _check_field_of_view(pair.label, label, pair.affine, grid, paths.label)
    image = np.stack([place_on_grid(one, pair.affine, grid, affine, is_label=False) for one in pair.image])
    image = image * (label > 0)
    window = tuple(_window(one[label > 0], path) for one, path in zip(image, paths.images, strict=True))
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

    Raises:
        LabelError: a label outside the scheme, none at all, or ids that the networks do not take.
        GeometryError: a structure lies outside the grid.
    """
    label, affine = read_label(path, mapping.source if mapping else scheme)
    record = CaseRecord(path.name.removesuffix(".gz").removesuffix(".nii"), None, fingerprint_array(label))
    mapped_record = None
    if mapping:
        label = mapping.apply(label, str(path))
        mapped_record = CaseRecord(record.identifier, None, fingerprint_array(label))
    _check_labels(label, scheme, path)
    grid_affine = grid.affine_centred_at(box_centre_mm(label > 0, affine))
    placed = place_on_grid(label, affine, grid, grid_affine, is_label=True)
    _check_field_of_view(label, placed, affine, grid, path)
    return FittingCase(
        record.identifier,
        torch.from_numpy(placed.astype(np.uint8)),
        None,
        (),
        record,
        mapped_record if mapped_record != record else None,
    )


def _check_labels(label: np.ndarray, scheme: LabelScheme, path: Path) -> None:
    """Refuse what the networks, whose classes are the ids 0 to N, cannot be fitted on."""
    if sorted(scheme.ids) != list(range(1, len(scheme.ids) + 1)) or len(scheme.ids) > LARGEST_ID:
        raise LabelError(
            f"{path}: scheme {scheme.name!r} has {len(scheme.ids)} structures with ids up to {max(scheme.ids)}; a fit "
            f"takes ids 1, 2, 3... without gaps, at most {LARGEST_ID}: renumber them with a label mapping"
        )
    if not (label > 0).any():
        raise LabelError(f"{path}: holds no labelled voxel; a fit needs some: leave the case out or label it")
    if scheme.ignore_id is not None and (count := int((label == scheme.ignore_id).sum())):
        raise LabelError(
            f"{path}: {count} voxels have the ignore label {scheme.ignore_id}; a fit takes fully labelled cases only: "
            "label them or leave the case out"
        )


def _window(foreground: np.ndarray, path: Path) -> float:
    """Intensity that normalised 1 stands for, of the labelled voxels of a channel."""
    window = float(np.percentile(foreground, WINDOW_PERCENTILE))
    negative = float((foreground < 0).mean())
    if window <= 0 or negative > NEGATIVE_SHARE:
        raise ConfigurationError(
            f"{path}: {100 * negative:.0f} % of the labelled voxels are below 0 and their {WINDOW_PERCENTILE} "
            f"percentile is {window:g}; a fit takes intensities above 0, at most {100 * NEGATIVE_SHARE:g} % below (CT "
            "in HU is not supported): add an offset to all images, such as 1024"
        )
    return window


def _check_field_of_view(label: np.ndarray, placed: np.ndarray, affine: np.ndarray, grid: Grid, path: Path) -> None:
    before = float((label > 0).sum()) * abs(np.linalg.det(affine[:3, :3])) / 1000
    after = float((placed > 0).sum()) * grid.voxel_volume_ml
    if after < 0.95 * before:
        raise GeometryError(
            f"{path}: {100 * (1 - after / max(before, 1e-9)):.0f} % of the labelled volume lies outside the field of "
            f"view {grid.shape} voxels of {grid.spacing_mm} mm; at most 5 % may: enlarge it or crop the case"
        )
