"""What has to be asked of the mask diffusion model for a volume to come out: measured once, kept in the checkpoint."""

from __future__ import annotations

import logging

import numpy as np

from synthaug.conditions import Condition
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.generators.guided_ldm_config import ControlCorrection

logger = logging.getLogger(__name__)

CURVE_POINTS = 17


def calibrate(generator: GuidedLDM, control: str, *, samples: int, seed: int) -> ControlCorrection:
    """Regress realised volumes on conditions.

    Guidance exaggerates a condition, and a small network follows it sluggishly: the curve of realised volumes against
    conditions is smooth, and it is inverted when a target is asked for.

    Args:
        generator: without a correction; only its mask stage is used.
        control: the control to correct.
        samples: label maps to make, their conditions evenly spread over the logarithm of the bounds.
        seed: of the first label map; the others follow.
    """
    low, high = generator.bounds.limits_ml[control]
    # The lowest tenth of the range is left out: there the networks have seen little.
    conditions_ml = np.exp(np.linspace(np.log(low) * 0.9 + np.log(high) * 0.1, np.log(high), samples))
    realised_ml = []
    for index, volume_ml in enumerate(conditions_ml):
        label = generator.sample_label(Condition({control: float(volume_ml)}), seed=seed + index)
        voxels = np.isin(label, generator.scheme.resolve(control)).sum()
        realised_ml.append(max(float(voxels), 1.0) * generator.config.grid.voxel_volume_ml)
    for volumes in zip(conditions_ml, realised_ml, strict=True):
        logger.info("calibration of %s: asked %.1f mL, got %.1f mL", control, *volumes)
    return fit_correction(conditions_ml, np.array(realised_ml))


def fit_correction(conditions_ml: np.ndarray, realised_ml: np.ndarray) -> ControlCorrection:
    """A rising curve through noisy samples: a parabola in the logarithms, tabulated, made to rise where it does not.

    Args:
        conditions_ml: ``(N,)``, rising.
        realised_ml: ``(N,)``, above 0.
    """
    x, y = np.log(conditions_ml), np.log(realised_ml)
    # Volumes near zero have logarithms without bound: they count in proportion to what they hold.
    weights = np.sqrt(np.minimum(realised_ml / conditions_ml, 1.0))
    parabola = np.poly1d(np.polyfit(x, y, deg=min(2, len(x) - 1), w=weights))
    points = np.linspace(x[0], x[-1], CURVE_POINTS)
    rising = np.maximum.accumulate(parabola(points)) + 1e-3 * np.arange(CURVE_POINTS)
    return ControlCorrection(tuple(np.exp(points).tolist()), tuple(np.exp(rising).tolist()))
