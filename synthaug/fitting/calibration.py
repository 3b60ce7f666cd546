"""The last touch of a fit: structures get the mean intensities of the training cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthaug.fitting.bank import Bank
from synthaug.generators.guided_ldm import GuidedLDM

MOST_CASES = 8
"""Training cases whose images are made anew to be compared."""


def label_offsets(generator: GuidedLDM, paths: Sequence[Path], *, seed: int) -> tuple[tuple[float, ...], ...]:
    """By how much images fall short of the training cases in each label's mean intensity.

    A network that is trained for minutes has structures too bright or too dark, the more the rarer they are, which a
    constant for each label takes back.

    Args:
        generator: the fitted one, without offsets.
        paths: pair files of the bank, of cases as they are.
        seed: of the images.

    Returns:
        Normalised intensity by label id, from background (0), and channel; 0 for labels that no case has.
    """
    classes, channels = generator.scheme.num_classes, len(generator.channels)
    missing, voxels = np.zeros((channels, classes)), np.zeros(classes)
    for number, path in enumerate(paths[:MOST_CASES]):
        item = Bank.read(path)
        assert item.image is not None
        label = item.label.numpy()
        (made,) = generator.generate_images([label], [seed + number])
        scales = generator.config.intensities
        normal = np.stack([scale.normalise(one) for scale, one in zip(scales, made, strict=True)])
        difference = item.image.float().numpy() - normal
        flat = label.ravel().astype(np.int64)
        missing += np.stack([np.bincount(flat, one.ravel(), classes) for one in difference])
        voxels += np.bincount(flat, minlength=classes)
    means = missing / np.maximum(voxels, 1)
    means[:, 0] = 0.0
    return tuple(tuple(float(value) for value in row) for row in means.T)
