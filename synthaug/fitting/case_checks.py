"""What makes a case unfit for fitting: checked while a dataset is surveyed, and again where a case is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthaug.errors import ConfigurationError, LabelError
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.labels import LabelScheme

MOST_IGNORED = 0.1
"""At most this share of a case's labelled voxels may be ignored ones: what they show is not known."""

MOST_STRUCTURES = 255
"""Since label maps are kept as uint8."""


def check_labels(label: np.ndarray, scheme: LabelScheme, where: Path) -> None:
    """Refuse a label map ``(X, Y, Z)`` that is ignored for the most part, or has more structures than a fit takes.

    Raises:
        LabelError: names the file.
    """
    check_count(scheme, where)
    if scheme.ignore_id is not None:
        labelled, ignored = int((label > 0).sum()), int((label == scheme.ignore_id).sum())
        if ignored > MOST_IGNORED * labelled:
            raise LabelError(
                f"{where}: {ignored} of {labelled} labelled voxels have the ignore label {scheme.ignore_id}; a fit "
                f"takes at most {MOST_IGNORED:.0%}: label them or leave the case out"
            )


def check_count(scheme: LabelScheme, where: Path | str) -> None:
    """Refuse more structures than label maps are kept with.

    Raises:
        LabelError: names the file.
    """
    if len(scheme.structures) > MOST_STRUCTURES:
        raise LabelError(
            f"{where}: scheme {scheme.name!r} has {len(scheme.structures)} structures, classes by intensity included; "
            f"a fit takes at most {MOST_STRUCTURES}: join some of them"
        )


def check_labelled(label: np.ndarray, where: Path | str) -> None:
    """Refuse a label map ``(X, Y, Z)`` without a structure, where unlabelled tissue counts as background.

    Raises:
        LabelError: names the file.
    """
    if not (label > 0).any():
        raise LabelError(f"{where}: holds no labelled voxel; a fit needs some: leave the case out or label it")


def check_contrast(scales: Sequence[IntensityScale], images: Sequence[Path]) -> None:
    """Refuse images that are the same all over their tissue.

    Raises:
        ConfigurationError: names the file.
    """
    for scale, path in zip(scales, images, strict=True):
        if not scale.zero < scale.one:
            raise ConfigurationError(
                f"{path}: intensities of the tissue are {scale.one:g} from their darkest to their brightest percent; "
                "a fit needs contrast and, where the background is 0, tissue above it: leave the case out"
            )
