"""Two cases small enough for whole fits in tests."""

from __future__ import annotations

import numpy as np
import torch

from synthaug.conditions import Condition
from synthaug.fitting.cases import FittingCase
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.volumes import CaseRecord
from tests.stand_in_generator import StandInGenerator

SHAPE = (32, 32, 32)


def small_cases() -> list[FittingCase]:
    """Heads of 32 voxels of 4 mm along each axis."""
    generator = StandInGenerator(shape=SHAPE, spacing_mm=4.0)
    pairs = generator.generate([Condition({"ventricles": volume}) for volume in (20.0, 40.0)], [1, 2])
    return [
        FittingCase(
            identifier=f"case_{index}",
            label=torch.from_numpy(pair.label.astype(np.uint8)),
            image=torch.from_numpy(pair.image) / 120,
            scales=(IntensityScale(0.0, 120.0),),
            record=CaseRecord(f"case_{index}", "0" * 64, "1" * 64),
        )
        for index, pair in enumerate(pairs)
    ]
