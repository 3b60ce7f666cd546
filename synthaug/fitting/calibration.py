"""The last touch of a fit: trial label maps tell what it can make, and structures get their mean intensities."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from synthaug.conditions import Condition
from synthaug.fitting.bank import Bank
from synthaug.generators.weights_generator import TwoStageGenerator, WeightsGenerator
from synthaug.labels import LabelScheme

logger = logging.getLogger(__name__)

TRIALS = 4
"""Label maps that are made on trial."""

MOST_CASES = 8
"""Training cases whose images are made anew to be compared."""

LEAST_VOXELS = 50
"""Of a label in trial label maps, for their images to be judged by."""


def trial_label_maps(generator: WeightsGenerator, *, seed: int) -> list[np.ndarray]:
    """Label maps ``(X, Y, Z)`` with volumes of the first control from end to end of its bounds."""
    control, (low, high) = next(iter(generator.bounds.limits_ml.items()))
    volumes_ml = np.geomspace(low, high, 2 * TRIALS + 1)[1::2]
    logger.info(
        "calibration: %d label maps on trial, %.1f to %.1f mL of %s", TRIALS, volumes_ml[0], volumes_ml[-1], control
    )
    conditions = [Condition({control: float(volume)}) for volume in volumes_ml]
    return [generator.sample_labels([one], [seed + number])[0] for number, one in enumerate(conditions)]


def structures_of_all(names: Sequence[str], trials: Sequence[np.ndarray], scheme: LabelScheme) -> tuple[str, ...]:
    """Those of some structures that every trial label map ``(X, Y, Z)`` has; the others are told in the log."""
    made = tuple(name for name in names if all(np.isin(label, scheme.resolve(name)).any() for label in trials))
    if lost := [name for name in names if name not in made]:
        logger.warning(
            "some of %d label maps on trial lack structures that every training case has: %s; a longer fit, or a finer "
            "spacing, would tell them",
            len(trials), ", ".join(lost),
        )  # fmt: skip
    return made


def label_offsets(
    generator: TwoStageGenerator, paths: Sequence[Path], trials: Sequence[np.ndarray], *, seed: int
) -> tuple[tuple[float, ...], ...]:
    """By how much images fall short of the training cases in each label's mean intensity.

    A network that is trained for minutes has structures too bright or too dark, the more the rarer they are, which a
    constant for each label takes back. Labels that trial label maps have are judged by the images for these, all
    others by the images for the training cases' label maps.

    Args:
        generator: the fitted one, without offsets.
        paths: pair files of the bank, of cases as they are.
        trials: label maps of the generator, ``(X, Y, Z)``.
        seed: of the images.

    Returns:
        Normalised intensity by label id, from background (0), and channel; 0 for labels that no case has.
    """
    items = [Bank.read(path) for path in paths]
    cases = [item.label.numpy() for item in items]
    logger.info(
        "calibration: images for the label maps of %d training cases and %d on trial",
        len(cases[:MOST_CASES]),
        len(trials),
    )
    real, had = _means(cases, [_image(item.image) for item in items], generator)
    for_cases, _ = _means(cases[:MOST_CASES], _made(generator, cases[:MOST_CASES], seed), generator)
    for_trials, tried = _means(trials, _made(generator, trials, seed + MOST_CASES), generator)
    made = np.where(tried[:, None] >= LEAST_VOXELS, for_trials, for_cases)
    offsets = np.where((had[:, None] > 0) & np.isfinite(made), real - made, 0.0)
    offsets[0] = 0.0
    return tuple(tuple(float(value) for value in row) for row in offsets)


def _image(image: torch.Tensor | None) -> np.ndarray:
    assert image is not None
    return image.float().numpy()


def _made(generator: TwoStageGenerator, labels: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Images ``(C, X, Y, Z)`` in normalised intensities for label maps."""
    scales = generator.intensities
    images = (generator.generate_images([label], [seed + number])[0] for number, label in enumerate(labels))
    return [np.stack([scale.normalise(one) for scale, one in zip(scales, image, strict=True)]) for image in images]


def _means(
    labels: Sequence[np.ndarray], images: Sequence[np.ndarray], generator: TwoStageGenerator
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each label and channel, ``(classes, C)``, not a number where there is no voxel, and voxels of each."""
    classes = generator.scheme.num_classes
    sums, voxels = np.zeros((classes, len(generator.channels))), np.zeros(classes)
    for label, image in zip(labels, images, strict=True):
        flat = label.ravel().astype(np.int64)
        sums += np.stack([np.bincount(flat, one.ravel(), classes) for one in image], axis=1)
        voxels += np.bincount(flat, minlength=classes)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / voxels[:, None], voxels
