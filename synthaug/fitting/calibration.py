"""What has to be asked of the mask diffusion model for a volume to come out: measured once, kept in the checkpoint."""

from __future__ import annotations

import logging

import numpy as np

from synthaug.conditions import Condition
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.generators.guided_ldm_config import ControlCorrection

logger = logging.getLogger(__name__)


def calibrate(generator: GuidedLDM, control: str, *, samples: int, seed: int) -> ControlCorrection:
    """Regress the logarithm of realised volumes on that of the conditions.

    Guidance exaggerates a condition, and a small network follows it sluggishly: realised volumes are close to a power of
    the condition, which is inverted when a target is asked for.

    Args:
        generator: without a correction; only its mask stage is used.
        control: the control to correct.
        samples: label maps to make, their conditions evenly spread over the logarithm of the bounds.
        seed: of the first label map; the others follow.
    """
    low, high = generator.bounds.limits_ml[control]
    # The outermost tenths of the range are left out: there the networks have seen little.
    conditions_ml = np.exp(np.linspace(np.log(low) * 0.9 + np.log(high) * 0.1, np.log(high), samples))
    realised_ml = []
    for index, volume_ml in enumerate(conditions_ml):
        label = generator.sample_label(Condition({control: float(volume_ml)}), seed=seed + index)
        voxels = np.isin(label, generator.scheme.resolve(control)).sum()
        realised_ml.append(max(float(voxels), 1.0) * generator.config.grid.voxel_volume_ml)
    slope, intercept = _robust_line(np.log(conditions_ml), np.log(np.array(realised_ml)))
    logger.info("calibration of %s: realised = exp(%.3f) * condition^%.3f", control, intercept, slope)
    return ControlCorrection(slope=slope, intercept=intercept)


def _robust_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept by Theil and Sen: the median of all pairwise slopes, which stray samples do not move."""
    first, second = np.triu_indices(len(x), k=1)
    slope = float(np.clip(np.median((y[second] - y[first]) / (x[second] - x[first])), 0.25, 4.0))
    return slope, float(np.median(y - slope * x))
