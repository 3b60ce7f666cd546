"""The plan of a fit: field of view, spacing, classes and controls that suit a dataset, a device and a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthaug.errors import ConfigurationError
from synthaug.fitting.dataset_survey import DatasetSurvey
from synthaug.fitting.settings import FitSettings

SHAPE_MULTIPLE = 32
COARSENING = 1.15
MARGIN_MM = 6.0
"""Room around the largest case, for warped copies of it."""

VOXELS_A_MINUTE = 35_000
"""Voxels of a field of view that two CPU cores can be asked to learn in a minute of budget."""

VOXEL_LIMITS = (500_000, 5_000_000)
GPU_VOXELS = 7_000_000
"""Voxels of a field of view on a GPU of 16 GB."""

MUCH_UNLABELLED = 0.1
"""Share of the body without a label above which it is split by intensity."""

UNLABELLED_CLASSES = 4
FEW_VOXELS = 100
MOST_CONTROLS = 16
BANK_SHARE = 0.15


@dataclass(frozen=True)
class FitPlan:
    """What a fit is going to do, and why.

    Attributes:
        settings: of the fit.
        notes: for the reader, one line each.
    """

    settings: FitSettings
    notes: tuple[str, ...]


def plan_fit(
    survey: DatasetSurvey,
    *,
    budget_seconds: float,
    gpu_bytes: int = 0,
    spacing_mm: Sequence[float] | None = None,
    controls: Sequence[str] = (),
    extend_ml: Mapping[str, tuple[float, float]] | None = None,
    base: FitSettings | None = None,
) -> FitPlan:
    """Choose the settings of a fit.

    Args:
        survey: of the training cases.
        budget_seconds: training time.
        gpu_bytes: memory of the GPU; 0 on a CPU.
        spacing_mm: spacing that the segmentation network works at; None: that of the cases.
        controls: structures or groups whose volumes can be asked for; none: groups, then structures of the dataset.
        extend_ml: by control, the range that its volumes are warped to, beyond that of the cases; at most one.
        base: settings to start from.

    Raises:
        ConfigurationError: nothing labelled in a control, or more than one control to extend.
        LabelError: a control that is no structure or group.
    """
    base = base or FitSettings()
    notes = []
    split = survey.unlabelled_share > MUCH_UNLABELLED
    notes.append(
        f"{survey.unlabelled_share:.0%} of the body has no label: "
        + (f"it is split by intensity into {UNLABELLED_CLASSES} classes" if split else "it becomes background")
    )
    grid_spacing, shape = _field_of_view(
        survey.extent_mm(of_body=split),
        spacing_mm or np.median([case.spacing_mm for case in survey.cases], axis=0).tolist(),
        _voxels(budget_seconds, gpu_bytes),
    )
    notes.append(
        f"field of view {' x '.join(map(str, shape))} voxels of {grid_spacing:g} mm, "
        f"for cases of up to {' x '.join(f'{extent:.0f}' for extent in survey.extent_mm(of_body=split))} mm"
    )
    extend_ml = dict(extend_ml or {})
    if len(extend_ml) > 1:
        raise ConfigurationError(
            f"--extend: {', '.join(extend_ml)}; one control can be taken beyond the cases' volumes: name one"
        )
    if small := _small(survey, grid_spacing):
        notes.append(f"of fewer than {FEW_VOXELS} such voxels, so likely to be lost or misshapen: {', '.join(small)}")
    chosen = _controls(survey, controls, list(extend_ml))
    notes.append(f"volumes that can be asked for: {', '.join(chosen)}")
    bank = replace(
        base.bank, share=BANK_SHARE, volume_range_ml=None, label_variants=4, tail_variants=0, pair_variants=3
    )
    for name, (low, high) in extend_ml.items():
        bank = replace(bank, volume_range_ml=(low, high), label_variants=6, tail_variants=1)
        notes.append(f"{name} is inflated and deflated to {low:g} to {high:g} mL in label maps")
    if survey.one_sided:
        notes.append(f"cases are not mirrored: {', '.join(survey.one_sided[:3])} lie to one side")
    settings = replace(
        base,
        shape=shape,
        spacing_mm=grid_spacing,
        controls=chosen,
        mirror=not survey.one_sided,
        unlabelled_classes=UNLABELLED_CLASSES if split else 0,
        bank=bank,
        sampling=replace(base.sampling, one_piece=(), thin=()),
    )
    return FitPlan(_with_crops(settings), tuple(notes))


def _small(survey: DatasetSurvey, spacing: float) -> list[str]:
    """Structures of few voxels of a spacing in mm, by their median over the cases that have them."""
    found = []
    for name in survey.ever_present:
        volumes_ml = [case.volumes_ml[name] for case in survey.cases if case.volumes_ml[name] > 0]
        if 1000 * float(np.median(volumes_ml)) / spacing**3 < FEW_VOXELS:
            found.append(name)
    return found


def _voxels(budget_seconds: float, gpu_bytes: int) -> float:
    if gpu_bytes:
        return GPU_VOXELS * min(gpu_bytes / 16e9, 1.0)
    low, high = VOXEL_LIMITS
    return min(max(VOXELS_A_MINUTE * budget_seconds / 60, low), high)


def _field_of_view(
    extent_mm: Sequence[float], spacing_mm: Sequence[float], voxels: float
) -> tuple[float, tuple[int, int, int]]:
    """Isotropic spacing and shape: the data's spacing, or a coarser one where so many voxels do not allow it.

    Shapes come in steps of `SHAPE_MULTIPLE`: of spacings up to `COARSENING` coarser, the one that fills it best.
    """
    room = [extent + 2 * MARGIN_MM for extent in extent_mm]
    own, finest = math.prod(spacing_mm) ** (1 / 3), (math.prod(room) / voxels) ** (1 / 3)
    if finest <= own:  # voxels of equal size are copied, not interpolated
        return round(own, 4), _shape(room, own)
    first, last = math.ceil(finest * 20 - 1e-6), math.floor(finest * COARSENING * 20)
    choices = [(step / 20, _shape(room, step / 20)) for step in range(first, max(first, last) + 1)]
    return min(choices, key=lambda choice: math.prod(choice[1]) * choice[0] ** 3)


def _shape(room_mm: Sequence[float], spacing: float) -> tuple[int, int, int]:
    x, y, z = (math.ceil(one / spacing / SHAPE_MULTIPLE) * SHAPE_MULTIPLE for one in room_mm)
    return x, y, z


def _controls(survey: DatasetSurvey, wanted: Sequence[str], first: Sequence[str]) -> tuple[str, ...]:
    """Controls in their order; the first is the one that is warped."""
    scheme, present = survey.scheme, set(survey.ever_present)
    for name in (*wanted, *first):
        members = {one.name for one in scheme.structures if one.id in scheme.resolve(name)}
        if not members & present:
            raise ConfigurationError(
                f"--control {name}: no training case has a voxel of it; name another of {', '.join(sorted(present))}"
            )
    offered = [*wanted] or [
        *(group for group, members in scheme.groups.items() if present & set(members)),
        *(name for name in scheme.names if name in present),
    ]
    ordered = list(dict.fromkeys([*first, *offered]))
    if wanted:
        return tuple(ordered)
    return tuple(ordered[:MOST_CONTROLS])


def _with_crops(settings: FitSettings) -> FitSettings:
    """Crops no larger than the field of view."""

    def fitted(crop: tuple[int, int, int]) -> tuple[int, int, int]:
        x, y, z = (min(edge, extent) for edge, extent in zip(crop, settings.shape, strict=True))
        return x, y, z

    return replace(
        settings,
        **{
            name: replace(part, batch=replace(part.batch, crop=fitted(part.batch.crop)))
            for name in ("label_autoencoder", "mask_detail", "image_autoencoder", "image_diffusion")
            for part in (getattr(settings, name),)
        },
    )
