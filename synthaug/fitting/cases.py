"""Training cases placed on the generator's grid, with intensities brought to a common scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from synthaug.errors import LabelError
from synthaug.fitting.case_checks import check_contrast, check_labelled, check_labels
from synthaug.fitting.case_form import CaseForm
from synthaug.generators.cases import CasePaths
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.labels import LabelMapping, LabelScheme, is_tissue_class, split_structures
from synthaug.volumes import CaseRecord, case_identifier, fingerprint_array, fingerprint_label, read_label, read_pair
from synthaug.volumes.grid import box_centre_mm, check_field_of_view, place_on_grid

REQUIRED_VOXELS = 100
"""A structure that some case has fewer voxels of may be missing in label maps."""


@dataclass(frozen=True)
class FittingCase:
    """A training case on the generator's grid.

    Attributes:
        identifier: name of the case.
        label: ``(X, Y, Z)`` uint8.
        image: ``(C, X, Y, Z)`` float32 in normalised units, 0 in the background, or None.
        scales: what these units stand for, by channel; empty without an image.
        record: what the leakage guard remembers of it.
        mapped_record: the same of its label map after the mapping to the generator's scheme, where that is another
            one: a dataset holds the map in this form.
    """

    identifier: str
    label: torch.Tensor
    image: torch.Tensor | None
    scales: tuple[IntensityScale, ...]
    record: CaseRecord
    mapped_record: CaseRecord | None = None

    @property
    def records(self) -> tuple[CaseRecord, ...]:
        """All that the leakage guard remembers of it."""
        return (self.record,) if self.mapped_record is None else (self.record, self.mapped_record)


def load_pair_case(paths: CasePaths, form: CaseForm) -> FittingCase:
    """Read an image with its label map.

    Raises:
        LabelError: a label outside the scheme, none at all, too many ignored ones, or more than the networks take.
        GeometryError: shapes or affines differ, or a structure lies outside the grid.
        ConfigurationError: a channel that is the same all over the tissue.
    """
    grid = form.grid
    pair = read_pair(paths.images, paths.label, form.dataset, form.channels)
    check_labels(pair.label, form.dataset, paths.label)
    if not form.split.of_unlabelled:
        check_labelled(pair.label, paths.label)
    tissue, scales = form.tissue_of(pair)
    check_contrast(scales, paths.images)
    affine = grid.affine_centred_at(box_centre_mm(tissue > 0, pair.affine))
    label = place_on_grid(tissue, pair.affine, grid, affine, is_label=True)
    check_field_of_view(tissue, pair.affine, label, grid, str(paths.label))
    normal = [scale.normalise(one) for scale, one in zip(scales, pair.image, strict=True)]
    image = np.stack([place_on_grid(one, pair.affine, grid, affine, is_label=False) for one in normal])
    return FittingCase(
        identifier=paths.identifier,
        label=torch.from_numpy(label.astype(np.uint8)),
        image=torch.from_numpy(image.astype(np.float32) * (label > 0)),
        scales=scales,
        record=CaseRecord(paths.identifier, fingerprint_array(pair.image), fingerprint_label(pair.label)),
    )


def load_label_case(path: Path, form: CaseForm, mapping: LabelMapping | None = None) -> FittingCase:
    """Read a label map without an image, for the mask stage.

    Args:
        path: NIfTI file.
        form: of the dataset's cases.
        mapping: from the file's scheme to the dataset's; None where they are the same.

    Raises:
        LabelError: a label outside the scheme, none at all, or more than the networks take; or tissue that is told by
            its intensity, which a label map alone does not have.
        GeometryError: a structure lies outside the grid.
    """
    if form.classes:
        raise LabelError(
            f"{path}: {', '.join(form.classes)} tissue of this dataset is split by intensity, which a label map alone "
            "does not have; leave --label-maps out, or set unlabelled_classes to 0 and split to {} in --settings"
        )
    label, affine = read_label(path, mapping.source if mapping else form.dataset)
    record = CaseRecord(case_identifier(path), None, fingerprint_label(label))
    mapped_record = None
    if mapping:
        label = mapping.apply(label, str(path))
        mapped_record = CaseRecord(record.identifier, None, fingerprint_label(label))
    check_labels(label, form.dataset, path)
    check_labelled(label, path)
    label = form.label_of(label)
    grid_affine = form.grid.affine_centred_at(box_centre_mm(label > 0, affine))
    placed = place_on_grid(label, affine, form.grid, grid_affine, is_label=True)
    check_field_of_view(label, affine, placed, form.grid, str(path))
    return FittingCase(
        record.identifier,
        torch.from_numpy(placed.astype(np.uint8)),
        None,
        (),
        record,
        mapped_record if mapped_record != record else None,
    )


def always_present(cases: Sequence[FittingCase], scheme: LabelScheme) -> tuple[str, ...]:
    """Structures of the dataset that every case has, with voxels enough for a label map to be held to them."""
    counts = torch.stack([torch.bincount(case.label.flatten(), minlength=scheme.num_classes) for case in cases])
    whole = [name for name in scheme.names if not is_tissue_class(name, scheme)]
    own = (*whole, *split_structures(scheme))
    return tuple(name for name in own if int(counts[:, list(scheme.resolve(name))].sum(dim=1).min()) >= REQUIRED_VOXELS)
