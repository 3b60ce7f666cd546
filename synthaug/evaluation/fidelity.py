"""Fidelity of synthetic images: how near to real ones as a set, how unlike each other, how grey each structure.

Every figure is given beside the same figure among real cases: sets of a few tens of images are never at distance 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from synthaug.errors import ConfigurationError
from synthaug.evaluation.extractors import Extractor, feature_sets, frechet_distance
from synthaug.labels import LabelScheme
from synthaug.volumes.grid import Grid, box_centre_mm, place_on_grid

WINDOW_PERCENTILE = 99.5
"""Foreground percentile that is brought to 1: scanners give intensities no unit."""

BINS = 150
HIGHEST = 1.5

SIMILARITY_BLOCK_MM = 2.0
SIMILARITY_WEIGHTS = (0.0710, 0.4530, 0.4760)
"""Of the three finest scales of MS-SSIM (Wang et al. 2003), brought to the sum of 1."""

MOST_PAIRS = 150
SPLITS = 10


@dataclass(frozen=True)
class Appearance:
    """What is kept of an image.

    Attributes:
        name: the case.
        features: ``(N, D)`` feature vectors by extractor.
        small: ``(1, C, x, y, z)`` the image at 2 mm.
        histograms: ``(structures, BINS)`` counts of the first channel's intensities, from 0 to ``HIGHEST``.
    """

    name: str
    features: Mapping[str, np.ndarray]
    small: torch.Tensor
    histograms: np.ndarray

    @classmethod
    def of(
        cls,
        name: str,
        image: np.ndarray,
        label: np.ndarray,
        affine: np.ndarray,
        scheme: LabelScheme,
        grid: Grid,
        extractors: Mapping[str, Extractor],
    ) -> Appearance:
        """Appearance of an image ``(C, X, Y, Z)`` and its label map ``(X, Y, Z)``, with the head at a grid's centre."""
        centred = grid.affine_centred_at(box_centre_mm(label > 0, affine))
        placed = place_on_grid(label, affine, grid, centred, is_label=True)
        head = torch.from_numpy(placed > 0)
        channels = []
        for one in image:
            values = np.where(placed > 0, place_on_grid(one, affine, grid, centred, is_label=False), 0)
            channels.append(torch.from_numpy(values / np.percentile(values[placed > 0], WINDOW_PERCENTILE)).float())
        first = channels[0].numpy()
        histograms = [
            np.histogram(first[placed == scheme.id_of(one)], bins=BINS, range=(0, HIGHEST))[0] for one in scheme.names
        ]
        block = [max(1, round(SIMILARITY_BLOCK_MM / spacing)) for spacing in grid.spacing_mm]
        small = functional.avg_pool3d(torch.stack(channels)[None], block).clamp(0, HIGHEST)
        return cls(name, feature_sets(extractors, channels[0], head), small, np.stack(histograms))


class Fidelity:
    """Synthetic images beside real ones.

    Args:
        scheme: label scheme of all cases.
        real: of real cases.

    Raises:
        ConfigurationError: fewer than four real cases with an image.
    """

    LEAST_REAL = 4

    def __init__(self, scheme: LabelScheme, real: Sequence[Appearance]) -> None:
        if len(real) < self.LEAST_REAL:
            raise ConfigurationError(
                f"fidelity: {len(real)} real case(s) with an image among --real; {self.LEAST_REAL} or more are needed: "
                "give an nnU-Net raw data set, which holds images beside label maps"
            )
        self._scheme = scheme
        self._real = list(real)
        self._samples: list[Appearance] = []

    def add(self, sample: Appearance) -> None:
        """Take note of a sample."""
        self._samples.append(sample)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready figures."""
        return {
            "real_cases": len(self._real),
            "samples": len(self._samples),
            "frechet_distance": {name: self._distance(name) for name in self._real[0].features},
            "ms_ssim": {"samples": _mean_similarity(self._samples), "real": _mean_similarity(self._real)},
            "intensity": {name: self._intensity(index) for index, name in enumerate(self._scheme.names)},
        }

    def _distance(self, extractor: str) -> dict[str, float | None]:
        """From the samples to the real cases, and between random halves of the real cases; None for too few vectors."""

        def joined(cases: Sequence[Appearance]) -> np.ndarray:
            return np.concatenate([one.features[extractor] for one in cases])

        # In units of the real features' deviations, which the extractors do not share.
        scale = joined(self._real).std(0) + 1e-6
        rng = np.random.default_rng(0)
        halves = []
        for _ in range(SPLITS):
            order = [self._real[index] for index in rng.permutation(len(self._real))]
            middle = len(order) // 2
            halves.append(_distance_if_enough(joined(order[:middle]) / scale, joined(order[middle:]) / scale))
        samples = _distance_if_enough(joined(self._samples) / scale, joined(self._real) / scale)
        return {"samples": samples, "real_halves": None if None in halves else float(np.mean(halves))}

    def _intensity(self, index: int) -> dict[str, float | None]:
        """Mean of a structure, and distance of its histogram to that of the real cases together."""
        pooled = _shares(sum(one.histograms[index] for one in self._real))
        others = [
            _histogram_distance(
                _shares(one.histograms[index]),
                _shares(sum(other.histograms[index] for other in self._real if other is not one)),
            )
            for one in self._real
        ]
        samples = [_histogram_distance(_shares(one.histograms[index]), pooled) for one in self._samples]
        return {
            "real_mean": _mean(pooled),
            "sample_mean": _mean(_shares(sum(one.histograms[index] for one in self._samples))),
            "real_distance": _median(others),
            "sample_distance": _median(samples),
        }

    def to_markdown(self) -> str:
        """The figures as tables."""
        facts = self.to_dict()
        lines = [
            "## Fidelity", "",
            f"{facts['samples']} samples beside {facts['real_cases']} real cases; each figure beside its like among "
            "real cases.", "",
            "| | samples | real cases |", "|---|---:|---:|",
            *(
                f"| Fréchet distance, {name} (real: between halves) | {_shown(one['samples'])} | "
                f"{_shown(one['real_halves'])} |"
                for name, one in facts["frechet_distance"].items()
            ),
            f"| MS-SSIM between two images | {_shown(facts['ms_ssim']['samples'])} | "
            f"{_shown(facts['ms_ssim']['real'])} |",
            "",
            "Intensities in units of the head's 99.5th percentile. Distance: earth mover's, from one case's histogram "
            "to that of all (other) real cases; median over cases.", "",
            "| structure | mean: samples, real | distance: samples, real |", "|---|---:|---:|",
            *(
                f"| {name.replace('_', ' ')} | {_shown(one['sample_mean'])}, {_shown(one['real_mean'])} | "
                f"{_shown(one['sample_distance'])}, {_shown(one['real_distance'])} |"
                for name, one in facts["intensity"].items()
            ),
        ]  # fmt: skip
        return "\n".join(lines) + "\n"


def _distance_if_enough(one: np.ndarray, other: np.ndarray) -> float | None:
    """Fréchet distance; None where a set has no more vectors than they have dimensions, and no covariance."""
    if min(len(one), len(other)) <= one.shape[1]:
        return None
    return frechet_distance(one, other)


def _mean_similarity(cases: Sequence[Appearance]) -> float | None:
    """Mean MS-SSIM between two cases, over all pairs or a fixed random choice of them."""
    from monai.metrics import MultiScaleSSIMMetric

    pairs = list(itertools.combinations(range(len(cases)), 2))
    if not pairs:
        return None
    if len(pairs) > MOST_PAIRS:
        pairs = [pairs[index] for index in np.random.default_rng(0).choice(len(pairs), MOST_PAIRS, replace=False)]
    metric = MultiScaleSSIMMetric(3, data_range=HIGHEST, kernel_size=5, weights=SIMILARITY_WEIGHTS)
    return float(np.mean([float(metric(cases[a].small, cases[b].small)) for a, b in pairs]))


def _shares(counts: np.ndarray) -> np.ndarray | None:
    total = counts.sum()
    return counts / total if total else None


def _mean(shares: np.ndarray | None) -> float | None:
    if shares is None:
        return None
    return float((shares * (np.arange(BINS) + 0.5)).sum() * HIGHEST / BINS)


def _histogram_distance(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Earth mover's distance between histograms, in units of intensity."""
    if one is None or other is None:
        return None
    return float(np.abs(np.cumsum(one - other)).sum() * HIGHEST / BINS)


def _median(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.median(found)) if found else None


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
