"""Alignment: does a segmentation network find in an image what the label map says that it was made for?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from synthaug.evaluation.agreement import Agreement, AgreementReport
from synthaug.evaluation.dice import mean_dice
from synthaug.evaluation.intervals import Interval, mean_interval, ratio_of_means_interval
from synthaug.labels import LabelScheme

SIZES = ("smallest third", "middle third", "largest third")


@dataclass(frozen=True)
class Overlaps:
    """Voxels of a label map and of what the network finds in its image.

    Attributes:
        name: the case.
        scheme: of both.
        both: voxels by id that have it in both, ``(largest id + 1,)``.
        label: voxels by id in the label map.
        found: voxels by id in the segmentation.
        voxel_volume_ml: volume of a voxel in mL.
    """

    name: str
    scheme: LabelScheme
    both: np.ndarray
    label: np.ndarray
    found: np.ndarray
    voxel_volume_ml: float

    @classmethod
    def of(
        cls, name: str, label: np.ndarray, found: np.ndarray, scheme: LabelScheme, voxel_volume_ml: float
    ) -> Overlaps:
        """Count voxels of a label map ``(X, Y, Z)`` and of a segmentation of the same scheme and shape."""
        size = max(int(label.max()), int(found.max()), *scheme.ids) + 1
        both, true, seen = (np.bincount(one.ravel(), minlength=size) for one in (label[label == found], label, found))
        return cls(name, scheme, both, true, seen, voxel_volume_ml)

    def aligned(self, controlled: Sequence[int] | None) -> AlignedCase:
        """Figures, with the volume of some ids together, or of none."""
        dice = {}
        for name in self.scheme.names:
            one = self.scheme.id_of(name)
            size = int(self.label[one] + self.found[one])
            dice[name] = 2 * float(self.both[one]) / size if size else None
        if controlled is None:
            return AlignedCase(self.name, dice, None, None)
        ids = list(controlled)
        volumes = [float(one[ids].sum() * self.voxel_volume_ml) for one in (self.label, self.found)]
        return AlignedCase(self.name, dice, *volumes)


@dataclass(frozen=True)
class AlignedCase:
    """A label map beside what the network finds in its image.

    Attributes:
        name: the case.
        dice: by structure; None where neither has it.
        volume_ml: of the controlled structure in the label map; None where there is none.
        found_ml: of the same in the segmentation.
    """

    name: str
    dice: Mapping[str, float | None]
    volume_ml: float | None
    found_ml: float | None

    @property
    def mean_dice(self) -> float | None:
        """Mean over the structures that one of the two has; None where there is none."""
        return mean_dice(self.dice)

    @property
    def error_percent(self) -> float | None:
        """Of the volume in the segmentation, in per cent of that in the label map."""
        if self.volume_ml is None or self.found_ml is None or self.volume_ml == 0:
            return None
        return 100 * (self.found_ml - self.volume_ml) / self.volume_ml


@dataclass(frozen=True)
class AlignmentReport:
    """Synthetic pairs beside real cases, by one network.

    Attributes:
        model: facts of the network.
        scheme: that both are compared in.
        structure: whose volume is measured, or None.
        samples: synthetic pairs.
        real: real cases; may be empty.
    """

    model: Mapping[str, Any]
    scheme: LabelScheme
    structure: str | None
    samples: Sequence[AlignedCase]
    real: Sequence[AlignedCase] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready figures."""
        means = self._compared([one.mean_dice for one in self.samples], [one.mean_dice for one in self.real])
        errors = {key: self._errors(cases) for key, cases in (("samples", self.samples), ("real", self.real))}
        return {
            "model": dict(self.model),
            "labels": self.scheme.name,
            "structure": self.structure,
            "samples": len(self.samples),
            "real_cases": len(self.real),
            "mean_dice": means,
            "dice": {
                name: self._compared([one.dice[name] for one in self.samples], [one.dice[name] for one in self.real])
                for name in self.scheme.names
            },
            "volume_error": errors,
            "terciles": self._terciles(),
            "pairs": [
                {
                    "name": one.name,
                    "mean_dice": one.mean_dice,
                    "dice": dict(one.dice),
                    "volume_ml": one.volume_ml,
                    "found_ml": one.found_ml,
                    "error_percent": one.error_percent,
                }
                for one in self.worst_first
            ],
        }

    @cached_property
    def worst_first(self) -> list[AlignedCase]:
        """Samples by mean Dice, the lowest first."""
        return sorted(self.samples, key=lambda one: -1.0 if one.mean_dice is None else one.mean_dice)

    @staticmethod
    def _compared(samples: Sequence[float | None], real: Sequence[float | None]) -> dict[str, Any]:
        """Means of both, their ratio, and intervals."""
        mine, theirs = ([one for one in values if one is not None] for values in (samples, real))
        sample_mean, real_mean = (float(np.mean(values)) if values else None for values in (mine, theirs))
        return {
            "samples": sample_mean,
            "real": real_mean,
            "ratio": sample_mean / real_mean if sample_mean is not None and real_mean else None,
            "intervals_95": {
                "samples": mean_interval(mine).to_dict(),
                "real": mean_interval(theirs).to_dict(),
                "ratio": ratio_of_means_interval(mine, theirs).to_dict(),
            },
        }

    @staticmethod
    def _errors(cases: Sequence[AlignedCase]) -> dict[str, Any]:
        """Errors of the controlled structure's volume."""
        percents = [one.error_percent for one in cases if one.error_percent is not None]
        absolute = [
            abs(one.found_ml - one.volume_ml) for one in cases if one.volume_ml is not None and one.found_ml is not None
        ]
        figures = {"mae_ml": absolute, "mae_percent": np.abs(percents).tolist(), "bias_percent": percents}
        intervals: dict[str, Interval] = {key: mean_interval(values) for key, values in figures.items()}
        return {
            **{key: float(np.mean(values)) if values else None for key, values in figures.items()},
            "count": len(absolute),
            "intervals_95": {key: one.to_dict() for key, one in intervals.items()},
        }

    def _terciles(self) -> list[dict[str, Any]]:
        """Figures by volume of the controlled structure; the ends are terciles of the samples."""
        volumes = [one.volume_ml for one in self.samples if one.volume_ml is not None]
        if not volumes:
            return []
        low, high = np.quantile(volumes, (1 / 3, 2 / 3)).tolist()
        sizes = dict(zip(SIZES, ((0.0, low), (low, high), (high, np.inf)), strict=True))
        figures = AgreementReport(_agreements(self.real), _agreements(self.samples), sizes).to_dict()["sizes"]
        rows = []
        for name, (least, most) in sizes.items():
            inside = [one for one in self.samples if one.volume_ml is not None and least <= one.volume_ml < most]
            alike = [one for one in self.real if one.volume_ml is not None and least <= one.volume_ml < most]
            # sizes without real cases are compared with all of them
            compared = self._compared([one.mean_dice for one in inside], [one.mean_dice for one in alike or self.real])[
                "intervals_95"
            ]
            rows.append(
                {
                    "name": name,
                    "low_ml": least,
                    "high_ml": None if np.isinf(most) else most,
                    **figures[name],
                    "sample_error": self._errors(inside),
                    "real_error": self._errors(alike),
                    "intervals_95": {
                        "sample_dice": compared["samples"],
                        "real_dice": compared["real"] if alike else mean_interval([]).to_dict(),
                        "share": compared["ratio"],
                    },
                }
            )
        return rows


def _agreements(cases: Sequence[AlignedCase]) -> list[Agreement]:
    return [
        Agreement(one.name, one.volume_ml, one.mean_dice)
        for one in cases
        if one.volume_ml is not None and one.mean_dice is not None
    ]


def note_on_real(count: int) -> str:
    """What the real cases can tell, or what is missing without them."""
    if not count:
        return (
            "No real cases with an image were given: how much of the disagreement is the network's own error is not "
            "known."
        )
    return (
        "Which of the real cases the network was trained on cannot be known from its files: on those it is better than "
        "on new ones, and the ratio too low."
    )


def volume_range(tercile: Mapping[str, Any]) -> str:
    """``12.0 to 30.5``, ``from 30.5``."""
    if tercile["high_ml"] is None:
        return f"from {tercile['low_ml']:.1f}"
    return f"{tercile['low_ml']:.1f} to {tercile['high_ml']:.1f}"
