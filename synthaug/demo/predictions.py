"""Predictions of held-out cases against their label maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthaug.volumes import read_label

if TYPE_CHECKING:
    from synthaug.generators import CasePaths
    from synthaug.labels import LabelScheme


def dice_by_name(prediction: np.ndarray, truth: np.ndarray, scheme: LabelScheme) -> dict[str, float]:
    """Dice of each structure and group that the truth or the prediction holds.

    Args:
        prediction: integer label map ``(X, Y, Z)``.
        truth: integer label map of the same shape.
        scheme: names of the structures and groups.
    """
    scores = {}
    for name in (*scheme.names, *scheme.groups):
        ids = scheme.resolve(name)
        found, wanted = np.isin(prediction, ids), np.isin(truth, ids)
        size = int(found.sum()) + int(wanted.sum())
        if size:
            scores[name] = 2 * int((found & wanted).sum()) / size
    return scores


def prediction_inputs(folder: Path, cases: Sequence[CasePaths], file_ending: str) -> Path:
    """A folder with links to the cases' images, named as ``nnUNetv2_predict -i`` expects."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        for channel, image in enumerate(case.images):
            link = folder / f"{case.identifier}_{channel:04d}{file_ending}"
            link.unlink(missing_ok=True)
            link.symlink_to(image.resolve())
    return folder


def held_out_dice(
    predictions: Path, cases: Sequence[CasePaths], scheme: LabelScheme, file_ending: str
) -> dict[str, dict[str, float]]:
    """Dice by case and structure of the predictions in a folder."""
    scores = {}
    for case in cases:
        prediction, _ = read_label(predictions / f"{case.identifier}{file_ending}")
        truth, _ = read_label(case.label)
        scores[case.identifier] = dice_by_name(prediction, truth, scheme)
    return scores
