"""The checks, one function each: it returns None where the pair passes, else one line that says what was found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synthaug.conditions import Condition
from synthaug.labels import LabelScheme, split_structures
from synthaug.labels.label_counts import count_labels
from synthaug.quality.configuration import QualityConfig
from synthaug.quality.report import QualityReport
from synthaug.volumes import LabeledVolume

Check = Callable[[LabeledVolume, Condition, QualityConfig, dict[str, float]], "str | None"]


def finite_intensities(
    pair: LabeledVolume, condition: Condition, config: QualityConfig, scores: dict[str, float]
) -> str | None:
    """No NaN, no infinity, and more than one intensity: a constant image is a network that has collapsed."""
    bad = int(pair.image.size - np.count_nonzero(np.isfinite(pair.image)))
    scores["non_finite_voxels"] = bad
    if bad:
        return f"{bad} intensities are NaN or infinite; all must be finite"
    flat = [name for name, channel in zip(pair.channels, pair.image, strict=True) if channel.min() == channel.max()]
    return f"channels {', '.join(flat)} hold one intensity only" if flat else None


def zero_background(
    pair: LabeledVolume, condition: Condition, config: QualityConfig, scores: dict[str, float]
) -> str | None:
    """Intensity exactly 0 where the label is 0, up to the configured share of those voxels."""
    outside = pair.label == 0
    voxels = int(np.count_nonzero(outside))
    lit = pair.image[0] != 0 if len(pair.image) == 1 else (pair.image != 0).any(axis=0)
    nonzero = int(np.count_nonzero(lit & outside))
    fraction = nonzero / voxels if voxels else 0.0
    allowed = config.max_nonzero_background or 0.0
    scores["nonzero_background_fraction"] = fraction
    if fraction > allowed:
        return f"{nonzero} background voxels ({fraction:.2%}) are not exactly 0; allowed is {allowed:.2%}"
    return None


def labels_in_scheme(
    pair: LabeledVolume, condition: Condition, config: QualityConfig, scores: dict[str, float]
) -> str | None:
    """Only 0 and the identifiers of the scheme's structures."""
    foreign = sorted(set(count_labels(pair.label)) - {0, *pair.scheme.ids})
    scores["foreign_labels"] = len(foreign)
    return f"labels {foreign} are not in scheme {pair.scheme.name}" if foreign else None


def structures_present(
    pair: LabeledVolume, condition: Condition, config: QualityConfig, scores: dict[str, float]
) -> str | None:
    """Every required structure with at least the configured number of voxels; of one that is split by intensity, all
    its classes together.
    """
    scheme, voxels = pair.scheme, count_labels(pair.label)
    asked = scheme.names if config.required is None else config.required
    whole = [name for name in asked if name in split_structures(scheme)]
    others = set(_ids(scheme, tuple(name for name in asked if name not in whole)))
    parts = {name: scheme.resolve(name) for name in whole}
    parts |= {name: (number,) for name, number in zip(scheme.names, scheme.ids, strict=True) if number in others}
    held = {name: sum(voxels.get(number, 0) for number in ids) for name, ids in parts.items()}
    missing = [name for name, count in held.items() if count < config.min_structure_voxels]
    scores["missing_structures"] = len(missing)
    return f"{', '.join(missing)} missing (fewer than {config.min_structure_voxels} voxels)" if missing else None


def volumes_on_target(
    pair: LabeledVolume, condition: Condition, config: QualityConfig, scores: dict[str, float]
) -> str | None:
    """Each requested volume within the relative or the absolute tolerance, whichever is larger."""
    realised = pair.volumes_ml()
    off = []
    for name, target_ml in condition.targets_ml.items():
        error_ml = realised[name] - target_ml
        scores[f"{name}_error_ml"] = float(error_ml)
        allowed_ml = max(config.volume_tolerance * target_ml, config.absolute_tolerance_ml)
        if not abs(error_ml) <= allowed_ml:
            off.append(f"{name} has {realised[name]:.2f} mL, {target_ml:.2f} +- {allowed_ml:.2f} mL was asked for")
    return "; ".join(off) or None


def ventricles_connected(
    pair: LabeledVolume, condition: Condition, config: QualityConfig, scores: dict[str, float]
) -> str | None:
    """The largest piece of each lateral ventricle holds the configured share of its voxels."""
    names = dict(zip(pair.scheme.ids, pair.scheme.names, strict=True))
    broken = []
    for number in _connected_ids(pair.scheme, config):
        fraction = main_component_fraction(pair.label == number)
        scores[f"{names[number]}_component_fraction"] = fraction
        if fraction < config.min_component_fraction:
            broken.append(f"{names[number]} ({fraction:.1%} in its largest piece)")
    if broken:
        return f"{', '.join(broken)}; at least {config.min_component_fraction:.1%} must be in one piece"
    return None


CHECKS: dict[str, Check] = {
    "non-finite-intensity": finite_intensities,
    "non-zero-background": zero_background,
    "label-outside-scheme": labels_in_scheme,
    "missing-structure": structures_present,
    "volume-off-target": volumes_on_target,
    "ventricle-in-pieces": ventricles_connected,
}
"""Name of the reason -> check, in the order in which they run."""


def check_pair(pair: LabeledVolume, condition: Condition, config: QualityConfig | None = None) -> QualityReport:
    """Run every check on a pair.

    Args:
        pair: image (C, X, Y, Z) and label (X, Y, Z) in RAS+ order.
        condition: the volumes in mL that were asked for.
        config: the limits.

    Returns:
        The report; all reasons are listed, not only the first.

    Raises:
        LabelError: the condition or the configuration names a structure that the scheme lacks.
    """
    config = config or QualityConfig()
    for name in condition.targets_ml:
        pair.scheme.resolve(name)
    scores: dict[str, float] = {}
    details = {}
    for reason, check in CHECKS.items():
        found = check(pair, condition, config, scores)
        if found is not None:
            details[reason] = found
    return QualityReport(not details, tuple(details), scores, details)


def main_component_fraction(mask: np.ndarray) -> float:
    """Share of a mask's voxels in its largest 26-connected piece; 1 for an empty mask, which is another check's matter.

    Args:
        mask: boolean (X, Y, Z).
    """
    from scipy import ndimage

    voxels = int(np.count_nonzero(mask))
    if voxels == 0:
        return 1.0
    # a lateral ventricle fills a fiftieth of the grid
    occupied = (np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    box = tuple(slice(int(axis[0]), int(axis[-1]) + 1) for axis in occupied)
    pieces, _ = ndimage.label(mask[box], structure=np.ones((3, 3, 3)))
    return float(np.bincount(pieces.reshape(-1))[1:].max()) / voxels


def _ids(scheme: LabelScheme, names: tuple[str, ...]) -> list[int]:
    return [number for name in names for number in scheme.resolve(name)]


def _connected_ids(scheme: LabelScheme, config: QualityConfig) -> list[int]:
    if config.connected is not None:
        return _ids(scheme, config.connected)
    names = scheme.groups.get("lateral_ventricles") or [name for name in scheme.names if "lateral_ventricle" in name]
    # inferior horns that a scheme keeps apart are slits, which manual label maps have in pieces too
    return [scheme.id_of(name) for name in names if "inferior" not in name]
