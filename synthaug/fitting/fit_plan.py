"""The plan of a fit: field of view, spacing, classes and controls that suit a dataset, a device and a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from synthaug.errors import ConfigurationError
from synthaug.fitting.bank import BankSettings
from synthaug.fitting.dataset_survey import DatasetSurvey
from synthaug.fitting.device_sizes import DeviceSizes
from synthaug.fitting.settings import FitSettings

SHAPE_MULTIPLE = 32
"""Fields of view come in steps of so many voxels, which the networks halve five times."""

COARSENING = 1.15
"""Of spacings up to this much coarser, the one whose steps fit the cases best is taken."""

MARGIN_MM = 6.0
"""Room around the largest case, for warped copies of it."""

VOXELS_A_MINUTE = 65_000
"""Voxels of a field of view that two CPU cores can be asked to learn in a minute of budget."""

VOXEL_LIMITS = (900_000, 5_000_000)
GPU_VOXELS = 7_000_000
"""Voxels of a field of view on a GPU of 16 GB."""

MUCH_UNLABELLED = 0.1
"""Share of the body without a label above which it is split by intensity."""

LARGE, VARIED = 0.2, 0.15
"""Share of the body, and deviation of normalised intensities, above which a structure is split by intensity: it is of
more than one tissue, which images have to be told. Cortex varies by 0.1, a whole brain by 0.19."""

TISSUE_CLASSES = 4
"""That tissue is split into."""

FEW_VOXELS = 100
"""Structures of fewer voxels of the field of view are named in the plan."""

MOST_OF_BODY = 0.5
"""Share of the body above which a structure is the last whose volume is asked for."""

MOST_CONTROLS = 16
"""Of a dataset's own; by name there may be more."""

BANK_SHARE = 0.05
"""Of the budget; after it no more variants of the cases are made."""

Settings = TypeVar("Settings", bound=FitSettings)


@dataclass(frozen=True)
class FitPlan(Generic[Settings]):
    """What a fit is going to do, and why.

    Attributes:
        settings: of the fit.
        notes: for the reader, one line each.
    """

    settings: Settings
    notes: tuple[str, ...]


def plan_fit(
    survey: DatasetSurvey,
    complete: Callable[[FitSettings, int], Settings],
    *,
    budget_seconds: float,
    gpu_bytes: int = 0,
    spacing_mm: Sequence[float] | None = None,
    controls: Sequence[str] = (),
    extend_ml: Mapping[str, tuple[float, float]] | None = None,
) -> FitPlan[Settings]:
    """Choose the settings of a fit.

    Args:
        survey: of the training cases.
        complete: settings of a system's own, from those of the plan and the number of classes with the background.
        budget_seconds: training time.
        gpu_bytes: memory of the GPU; 0 on a CPU.
        spacing_mm: spacing that the segmentation network works at; None: that of the cases.
        controls: structures or groups whose volumes can be asked for; none: groups, then structures of the dataset.
        extend_ml: by control, the range that its volumes are warped to, beyond that of the cases; at most one.

    Raises:
        ConfigurationError: nothing labelled in a control, or more than one control to extend.
        LabelError: a control that is no structure or group.
    """
    extend_ml = dict(extend_ml or {})
    if len(extend_ml) > 1:
        raise ConfigurationError(
            f"--extend: {', '.join(extend_ml)}; one control can be taken beyond the cases' volumes: name one"
        )
    split = survey.unlabelled_share > MUCH_UNLABELLED
    spacing, shape = _field_of_view(
        survey.extent_mm(of_body=split),
        spacing_mm or np.median([case.spacing_mm for case in survey.cases], axis=0).tolist(),
        _voxels(budget_seconds, gpu_bytes),
    )
    settings = FitSettings(
        shape=shape,
        spacing_mm=spacing,
        controls=_controls(survey, controls, list(extend_ml)),
        mirror=not survey.one_sided,
        unlabelled_classes=TISSUE_CLASSES if split else 0,
        split=_split(survey),
        bank=_bank(extend_ml),
    )
    added = settings.unlabelled_classes + sum(number - 1 for number in settings.split.values())
    classes = 1 + len(survey.scheme.structures) + added
    sizes = DeviceSizes.of(gpu_bytes, budget_seconds)
    notes = [*_notes(survey, settings, extend_ml), sizes.note()]
    return FitPlan(sizes.applied(complete(settings, classes)), tuple(filter(None, notes)))


def _split(survey: DatasetSurvey) -> dict[str, int]:
    """Structures that are large and of more than one tissue, with their classes."""
    large = [name for name in survey.ever_present if survey.body_share(name) > LARGE]
    return {name: TISSUE_CLASSES for name in large if survey.spread(name) > VARIED}


def _bank(extend_ml: Mapping[str, tuple[float, float]]) -> BankSettings:
    """Variants of the cases; more label maps where a control is warped."""
    if not extend_ml:
        return BankSettings(share=BANK_SHARE, label_variants=4, tail_variants=0, pair_variants=3)
    (limits,) = extend_ml.values()
    return BankSettings(share=BANK_SHARE, volume_range_ml=limits, label_variants=6, tail_variants=1, pair_variants=3)


def _notes(survey: DatasetSurvey, settings: FitSettings, extend_ml: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """What was chosen and why, a line each."""
    classes, spacing = settings.unlabelled_classes, settings.spacing_mm
    yield f"{survey.unlabelled_share:.0%} of the body has no label: " + (
        f"it is split by intensity into {classes} classes" if classes else "it becomes background"
    )
    if settings.split:
        yield f"of more than one tissue, so split by intensity for the images: {', '.join(settings.split)}"
    extent = survey.extent_mm(of_body=classes > 0)
    yield (
        f"field of view {' x '.join(map(str, settings.shape))} voxels of {spacing:g} mm, "
        f"for cases of up to {' x '.join(f'{one:.0f}' for one in extent)} mm"
    )
    if small := _small(survey, spacing):
        yield f"of fewer than {FEW_VOXELS} such voxels, so likely to be lost or misshapen: {', '.join(small)}"
    yield f"volumes that can be asked for: {', '.join(settings.controls)}"
    for name, (low, high) in extend_ml.items():
        yield f"{name} is inflated and deflated to {low:g} to {high:g} mL in label maps"
    if survey.one_sided:
        yield f"cases are not mirrored: {', '.join(survey.one_sided[:3])} lie to one side"


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
                f"{'--extend' if name in first else '--control'} {name}: no training case has a voxel of it; "
                f"name another of {', '.join(sorted(present))}"
            )
    offered = [*wanted] or [
        *(group for group, members in scheme.groups.items() if present & set(members)),
        *(name for name in scheme.names if name in present),
    ]
    if wanted:
        return tuple(dict.fromkeys([*first, *offered]))
    # the first is the one that schedules are about: none that is most of the body
    offered.sort(key=lambda name: survey.body_share(name) > MOST_OF_BODY)
    return tuple(dict.fromkeys([*first, *offered]))[:MOST_CONTROLS]
