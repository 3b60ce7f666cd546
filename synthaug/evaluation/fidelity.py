"""Fidelity of synthetic images: how near to real ones as a set, how unlike each other, how grey each structure.

Every figure is given beside the same figure among real cases: sets of a few tens of images are never at distance 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch.nn import functional

from synthaug.errors import ConfigurationError
from synthaug.evaluation.extractors import Extractor
from synthaug.evaluation.feature_figures import FeatureFigures, feature_facts
from synthaug.evaluation.intervals import Interval, couples_interval, median_interval, ratio_interval
from synthaug.evaluation.perceptual_maps import PerceptualMaps
from synthaug.generators.intensity_scale import BRIGHT_PERCENTILE
from synthaug.labels import LabelScheme
from synthaug.volumes.grid import Grid, box_centre_mm, place_on_grid

BINS = 150
HIGHEST = 1.5

COMPARED_SPACING_MM = 2.0
"""At which images are compared two by two."""

SIMILARITY_WEIGHTS = (0.0710, 0.4530, 0.4760)
"""Of the three finest scales of MS-SSIM (Wang et al. 2003), brought to the sum of 1."""

LEAST_SIZE = 20
"""Voxels of 2 mm along an axis that three scales of MS-SSIM need."""

MOST_PAIRS = 150

Case = TypeVar("Case")


@dataclass(frozen=True)
class ImageLook:
    """How images are looked at.

    Attributes:
        scheme: label scheme of their label maps.
        grid: on which they are compared, the head at its centre.
        extractors: of feature vectors, by name.
        perceptual: what LPIPS compares.
    """

    scheme: LabelScheme
    grid: Grid
    extractors: Mapping[str, Extractor]
    perceptual: PerceptualMaps


@dataclass(frozen=True)
class Appearance:
    """What is kept of an image.

    Attributes:
        name: the case.
        features: ``(N, D)`` feature vectors by extractor.
        small: ``(1, C, x, y, z)`` the image at 2 mm.
        histograms: ``(structures, BINS)`` counts of the first channel's intensities, from 0 to ``HIGHEST``.
        perceptual: ``(slices, D)`` vectors of slices of the first channel at 2 mm, float16: see `PerceptualMaps`.
    """

    name: str
    features: Mapping[str, np.ndarray]
    small: torch.Tensor
    histograms: np.ndarray
    perceptual: np.ndarray

    @classmethod
    def of(cls, name: str, image: np.ndarray, label: np.ndarray, affine: np.ndarray, look: ImageLook) -> Appearance:
        """Appearance of an image ``(C, X, Y, Z)`` and its label map ``(X, Y, Z)``, with the head at a grid's centre.

        Raises:
            ConfigurationError: an empty label map, or an image that is dark all over the head.
        """
        if not (label > 0).any():
            raise ConfigurationError(f"fidelity: the label map of {name} is empty; leave the case out")
        grid = look.grid
        centred = grid.affine_centred_at(box_centre_mm(label > 0, affine))
        placed = place_on_grid(label, affine, grid, centred, is_label=True)
        head = torch.from_numpy(placed > 0)
        channels = []
        for one in image:
            values = np.where(placed > 0, place_on_grid(one, affine, grid, centred, is_label=False), 0)
            # scanners give intensities no unit
            bright = float(np.percentile(values[placed > 0], BRIGHT_PERCENTILE))
            if not bright > 0:
                raise ConfigurationError(
                    f"fidelity: the image of {name} is {bright:g} at the {BRIGHT_PERCENTILE:g}th percentile of its "
                    "head; intensities above 0 are needed: leave the case out"
                )
            channels.append(torch.from_numpy(values / bright).float())
        first = channels[0].numpy()
        histograms = [
            np.histogram(first[placed == look.scheme.id_of(one)], bins=BINS, range=(0, HIGHEST))[0]
            for one in look.scheme.names
        ]
        small = functional.avg_pool3d(torch.stack(channels)[None], _blocks_of_2mm(grid)).clamp(0, HIGHEST)
        return cls(
            name,
            {key: one.features(channels[0], head) for key, one in look.extractors.items()},
            small,
            np.stack(histograms),
            look.perceptual.vectors(small[0, 0]).astype(np.float16),
        )


def size_at_2mm(grid: Grid) -> tuple[int, ...]:
    """Shape ``(x, y, z)`` of `Appearance.small` of images on a grid."""
    return tuple(size // block for size, block in zip(grid.shape, _blocks_of_2mm(grid), strict=True))


def _blocks_of_2mm(grid: Grid) -> list[int]:
    """Voxels of a grid along x, y, z that are averaged to one of about 2 mm."""
    return [max(1, round(COMPARED_SPACING_MM / spacing)) for spacing in grid.spacing_mm]


@dataclass(frozen=True)
class RealAppearances:
    """Real images to compare with; what they have in common is computed once.

    Attributes:
        scheme: label scheme of all cases.
        cases: of real cases.

    Raises:
        ConfigurationError: too few real cases with an image.
    """

    LEAST = 6

    scheme: LabelScheme
    cases: tuple[Appearance, ...]

    def __post_init__(self) -> None:
        if len(self.cases) < self.LEAST:
            raise ConfigurationError(
                f"fidelity: {len(self.cases)} real case(s) with an image among --real; {self.LEAST} or more are "
                "needed: give an nnU-Net raw data set, which holds images beside label maps"
            )

    @cached_property
    def likeness(self) -> dict[str, Likeness | None]:
        """MS-SSIM and LPIPS between two of them."""
        return likeness(self.cases)

    @cached_property
    def histogram_distances(self) -> list[list[float | None]]:
        """By structure: distance of each case's histogram to that of all others."""
        return [
            [
                _histogram_distance(
                    _shares(one.histograms[index]), _shares(self._pooled(index) - one.histograms[index])
                )
                for one in self.cases
            ]
            for index in range(len(self.scheme.names))
        ]

    def compare(self, samples: Sequence[Appearance]) -> FidelityReport:
        """Compare synthetic images with the real ones."""
        if not samples:
            raise ConfigurationError("fidelity: no sample to compare")
        structures, distances = {}, []
        for index, name in enumerate(self.scheme.names):
            pooled = _shares(self._pooled(index))
            found = [_histogram_distance(_shares(one.histograms[index]), pooled) for one in samples]
            of_real = self.histogram_distances[index]
            distances.append(found)
            structures[name] = {
                "real_mean": _mean(pooled),
                "sample_mean": _mean(_shares(sum(one.histograms[index] for one in samples))),
                "real_distance": _median(of_real),
                "sample_distance": _median(found),
                "intervals_95": {
                    "real_mean": _mean_interval([one.histograms[index] for one in self.cases]).to_dict(),
                    "sample_mean": _mean_interval([one.histograms[index] for one in samples]).to_dict(),
                    "real_distance": _median_interval(of_real).to_dict(),
                    "sample_distance": _median_interval(found).to_dict(),
                },
            }
        features = {
            name: FeatureFigures.of(*([case.features[name] for case in cases] for cases in (samples, self.cases)))
            for name in self.cases[0].features
        }
        alike = {"samples": likeness(samples), "real": self.likeness}
        return FidelityReport(
            {
                "real_cases": len(self.cases),
                "samples": len(samples),
                **feature_facts(features),
                **{
                    measure: {key: one.mean if (one := found[measure]) else None for key, found in alike.items()}
                    for measure in MEASURES
                },
                "intervals_95": {
                    "kernel_distance": {name: one.kernel_interval.to_dict() for name, one in features.items()},
                    **{
                        measure: {
                            key: one.interval.to_dict() for key, found in alike.items() if (one := found[measure])
                        }
                        for measure in MEASURES
                    },
                },
                "intensity": structures,
                "samples_by_distance": self._by_distance(samples, distances),
            }
        )

    def _by_distance(
        self, samples: Sequence[Appearance], distances: Sequence[Sequence[float | None]]
    ) -> list[dict[str, Any]]:
        """Samples by their intensities' distance from real ones, the farthest first.

        The distance is in multiples of what it is among real cases; median over structures.
        """
        usual = [_median(found) for found in self.histogram_distances]
        rows = []
        for place, one in enumerate(samples):
            found = [
                value / scale
                for index, scale in enumerate(usual)
                if scale and (value := distances[index][place]) is not None
            ]
            if found:
                rows.append({"name": one.name, "distance": float(np.median(found))})
        return sorted(rows, key=lambda row: -row["distance"])

    def _pooled(self, index: int) -> np.ndarray:
        """Histogram of a structure over all cases."""
        return np.sum([one.histograms[index] for one in self.cases], axis=0)


@dataclass(frozen=True)
class FidelityReport:
    """Figures of synthetic images, each beside its like among real cases.

    Attributes:
        facts: JSON-ready.
    """

    facts: dict[str, Any]


MEASURES = ("ms_ssim", "lpips")


@dataclass(frozen=True)
class Likeness:
    """A measure between two cases of a set, at about 2 mm.

    Attributes:
        mean: over couples.
        interval: of the mean; cases are resampled.
    """

    mean: float
    interval: Interval

    @classmethod
    def structural(cls, cases: Sequence[Appearance]) -> Likeness | None:
        """MS-SSIM: 1 where they are alike. None where there are too few, or they are too small."""
        from monai.metrics import MultiScaleSSIMMetric

        if min(cases[0].small.shape[2:]) < LEAST_SIZE:
            return None
        metric = MultiScaleSSIMMetric(3, data_range=HIGHEST, kernel_size=5, weights=SIMILARITY_WEIGHTS)
        return cls._between(cases, lambda one, other: float(metric(one.small, other.small)))

    @classmethod
    def perceptual(cls, cases: Sequence[Appearance]) -> Likeness | None:
        """Mean LPIPS between slices at the same place: 0 where they are alike. None where there are too few."""

        def distance(one: Appearance, other: Appearance) -> float:
            apart = one.perceptual.astype(np.float32) - other.perceptual.astype(np.float32)
            return float(np.square(apart).sum(axis=1).mean())

        return cls._between(cases, distance)

    @classmethod
    def _between(
        cls, cases: Sequence[Appearance], measure: Callable[[Appearance, Appearance], float]
    ) -> Likeness | None:
        places = couples(range(len(cases)))
        if not places:
            return None
        values = [measure(cases[one], cases[other]) for one, other in places]
        return cls(float(np.mean(values)), couples_interval(len(cases), places, values))


def likeness(cases: Sequence[Appearance]) -> dict[str, Likeness | None]:
    """How alike the cases of a set are, by measure: low diversity shows in a high MS-SSIM and a low LPIPS."""
    return dict(zip(MEASURES, (Likeness.structural(cases), Likeness.perceptual(cases)), strict=True))


def couples(cases: Sequence[Case]) -> list[tuple[Case, Case]]:
    """All couples of cases, or a fixed random choice of them."""
    found = list(itertools.combinations(cases, 2))
    if len(found) <= MOST_PAIRS:
        return found
    return [found[index] for index in np.random.default_rng(0).choice(len(found), MOST_PAIRS, replace=False)]


def _shares(counts: np.ndarray) -> np.ndarray | None:
    total = counts.sum()
    return counts / total if total else None


def _mean(shares: np.ndarray | None) -> float | None:
    if shares is None:
        return None
    return float((shares * (np.arange(BINS) + 0.5)).sum() * HIGHEST / BINS)


def _mean_interval(histograms: Sequence[np.ndarray]) -> Interval:
    """Of the mean over all voxels of all cases; cases without the structure are left out."""
    found = [one for one in histograms if one.sum()]
    middles = (np.arange(BINS) + 0.5) * HIGHEST / BINS
    return ratio_interval([float(one @ middles) for one in found], [float(one.sum()) for one in found])


def _median_interval(values: Sequence[float | None]) -> Interval:
    return median_interval([value for value in values if value is not None])


def _histogram_distance(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Earth mover's distance between histograms, in units of intensity."""
    if one is None or other is None:
        return None
    return float(np.abs(np.cumsum(one - other)).sum() * HIGHEST / BINS)


def _median(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.median(found)) if found else None
