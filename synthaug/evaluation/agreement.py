"""Agreement of image and label map: does a segmentation network that knows real cases only see what the labels say?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthaug.evaluation.dice import dice
from synthaug.labels import LabelScheme

SIZES_ML = {"small": (0.0, 20.0), "middle": (20.0, 50.0), "large": (50.0, np.inf)}
"""Ventricular volume, lower end included."""


@dataclass(frozen=True)
class Agreement:
    """Overlap of a label map with what a segmentation network finds in its image.

    Attributes:
        name: the case.
        volume_ml: of the ventricles in the label map.
        dice: mean over the lateral ventricles.
    """

    name: str
    volume_ml: float
    dice: float

    @classmethod
    def of(
        cls, name: str, label: np.ndarray, found: np.ndarray, scheme: LabelScheme, voxel_volume_ml: float
    ) -> Agreement:
        """Compare a label map ``(X, Y, Z)`` with a segmentation of the same scheme and shape."""
        ventricles = np.isin(label, scheme.resolve("ventricles")).sum() * voxel_volume_ml
        return cls(
            name,
            float(ventricles),
            float(np.nanmean([dice(label == one, found == one) for one in scheme.resolve("lateral_ventricles")])),
        )


@dataclass(frozen=True)
class AgreementReport:
    """Synthetic pairs beside real cases that the segmentation network never saw.

    Attributes:
        real: of the real cases.
        samples: of the synthetic pairs.
        sizes: ranges of volume in mL by name, lower end included.
    """

    real: Sequence[Agreement]
    samples: Sequence[Agreement]
    sizes: Mapping[str, tuple[float, float]] = field(default_factory=lambda: SIZES_ML)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready figures; sizes without real cases are compared with all of them."""
        every = _mean(self.real)
        groups = {"all": (0.0, np.inf), **self.sizes}
        found = {}
        for name, (low, high) in groups.items():
            real = [one for one in self.real if low <= one.volume_ml < high]
            samples = [one for one in self.samples if low <= one.volume_ml < high]
            reached, of_size = _mean(samples), _mean(real)
            reference = every if of_size is None else of_size
            found[name] = {
                "real_cases": len(real),
                "real_dice": of_size,
                "samples": len(samples),
                "sample_dice": reached,
                "share": reached / reference if reached is not None and reference else None,
            }
        worst = sorted(self.samples, key=lambda one: one.dice)[:5]
        return {"sizes": found, "worst": [vars(one) for one in worst]}

    def to_markdown(self) -> str:
        """The figures as a table."""
        lines = [
            "| ventricles | real cases: number, Dice | samples: number, Dice | share |", "|---|---:|---:|---:|",
        ]  # fmt: skip
        for name, one in self.to_dict()["sizes"].items():
            lines.append(
                f"| {name} | {one['real_cases']}, {_shown(one['real_dice'])} | "
                f"{one['samples']}, {_shown(one['sample_dice'])} | {_shown(one['share'])} |"
            )
        return "\n".join(lines) + "\n"


def _mean(cases: Sequence[Agreement]) -> float | None:
    return float(np.mean([one.dice for one in cases])) if cases else None


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
