"""What a trained network makes of a test case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from synthaug.evaluation.dice import dice, mean_dice
from synthaug.labels import LabelScheme


@dataclass(frozen=True)
class TestedCase:
    """Overlap and volumes of a segmentation of a test case.

    Attributes:
        identifier: of the case.
        dice: by structure or group; 0 where only the label map or the segmentation has it, None where neither has.
        volume_ml: of the measured structure in the label map.
        predicted_ml: of the same in the segmentation.
    """

    __test__ = False

    identifier: str
    dice: Mapping[str, float | None]
    volume_ml: float
    predicted_ml: float

    @classmethod
    def of(
        cls,
        identifier: str,
        label: np.ndarray,
        found: np.ndarray,
        scheme: LabelScheme,
        *,
        voxel_volume_ml: float,
        structures: Sequence[str],
        structure: str,
    ) -> TestedCase:
        """Compare a label map ``(X, Y, Z)`` with a segmentation of the same scheme and shape.

        Args:
            identifier: of the case.
            label: true ids of ``scheme``.
            found: segmented ones.
            scheme: of both.
            voxel_volume_ml: volume of a voxel in mL.
            structures: structures or groups to overlay, each as a whole.
            structure: structure or group to measure.
        """
        measured = scheme.resolve(structure)
        return cls(
            identifier,
            {
                one: _known(dice(np.isin(label, scheme.resolve(one)), np.isin(found, scheme.resolve(one))))
                for one in structures
            },
            float(np.isin(label, measured).sum() * voxel_volume_ml),
            float(np.isin(found, measured).sum() * voxel_volume_ml),
        )

    @property
    def mean_dice(self) -> float | None:
        """Over the structures that the label map or the segmentation has."""
        return mean_dice(self.dice)

    @property
    def error_ml(self) -> float:
        """Predicted volume less the true one."""
        return self.predicted_ml - self.volume_ml

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> TestedCase:
        """The inverse of `to_dict`."""
        return cls(found["identifier"], found["dice"], float(found["volume_ml"]), float(found["predicted_ml"]))


def _known(dice: float) -> float | None:
    return None if math.isnan(dice) else dice
