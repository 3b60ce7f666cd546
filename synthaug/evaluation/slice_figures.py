"""Figures of slices: Dice of neighbours within a label map, distances between and within sets of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from synthaug.errors import ConfigurationError
from synthaug.evaluation.extractors import frechet_distance
from synthaug.evaluation.feature_figures import SPLITS
from synthaug.evaluation.fidelity import Appearance
from synthaug.generators.intensity_scale import BRIGHT_PERCENTILE
from synthaug.volumes import LabeledVolume
from synthaug.volumes.views import VIEWS

LEAST_CASES = 3
"""Fewer have too few slices for a covariance of the features."""


def neighbour_dice(pair: LabeledVolume, structures: Sequence[str]) -> np.ndarray:
    """Dice between axial slices z and z + 1, mean over the structures that one of them has.

    Args:
        pair: label map ``(X, Y, Z)``.
        structures: names; classes by intensity of one structure count as that structure.

    Returns:
        ``(Z - 1,)``, NaN where two slices have no structure.
    """
    total, present = np.zeros(pair.label.shape[2] - 1), np.zeros(pair.label.shape[2] - 1)
    for name in structures:
        inside = np.isin(pair.label, pair.scheme.resolve(name))
        areas = inside.sum(axis=(0, 1))
        both = (inside[..., 1:] & inside[..., :-1]).sum(axis=(0, 1))
        either = areas[1:] + areas[:-1]
        total += 2 * both / np.maximum(either, 1)
        present += either > 0
    return np.where(present > 0, total / np.maximum(present, 1), np.nan)


def join_dice(name: str, pair: LabeledVolume, structures: Sequence[str]) -> np.ndarray | None:
    """The same, apart for the joins of a sequence generator's slices.

    Args:
        name: of the pair.
        pair: label map ``(X, Y, Z)``; its provenance may hold ``joins``, the places along z where a sequence begins.
        structures: as those of `neighbour_dice`.

    Returns:
        ``(2, Z - 1)``: across joins, NaN elsewhere; and elsewhere, NaN across joins. None for a pair whose provenance
        holds no joins.

    Raises:
        ConfigurationError: a join that lies between no two slices.
    """
    joins = pair.provenance.get("joins")
    if joins is None:
        return None
    slices = pair.label.shape[2]
    if not all(isinstance(one, int) and 0 < one < slices for one in joins):
        raise ConfigurationError(
            f"{name}: its joins are {joins}; allowed are places along z where a sequence begins, 1 to {slices - 1}"
        )
    dice = neighbour_dice(pair, structures)
    across = np.isin(np.arange(1, slices), joins)
    return np.stack([np.where(across, dice, np.nan), np.where(across, np.nan, dice)])


def dice_at_joins(pairs: Sequence[np.ndarray]) -> tuple[float | None, float | None]:
    """Mean Dice across joins, and at the same heights of the pairs that have none there.

    Slices differ more at some heights than at others, whoever made them, and joins lie anywhere: only heights where
    some pairs have a join and others have none are compared.

    Args:
        pairs: those of `join_dice`, all of one generator.
    """
    if not pairs:
        return None, None
    at, beside = np.stack(pairs, axis=1)  # (pairs, Z - 1) each
    shared = ~np.isnan(at).all(axis=0) & ~np.isnan(beside).all(axis=0)
    if not shared.any():
        return None, None
    weights = (~np.isnan(at[:, shared])).sum(axis=0)
    both = (np.average(np.nanmean(one[:, shared], axis=0), weights=weights) for one in (at, beside))
    across, elsewhere = (float(one) for one in both)
    return across, elsewhere


def sharpness(image: np.ndarray, head: np.ndarray) -> float:
    """Mean difference between neighbouring voxels of a head, as a share of its brightest tissue.

    Args:
        image: ``(X, Y, Z)``.
        head: ``(X, Y, Z)``; neighbours count where both are in it, so that its outline does not.
    """
    bright = np.percentile(image[head], BRIGHT_PERCENTILE)
    steps = [np.abs(np.diff(image, axis=axis))[inside] for axis, inside in enumerate(_neighbours(head))]
    return float(np.concatenate(steps).mean() / bright)


def _neighbours(head: np.ndarray) -> Iterator[np.ndarray]:
    """By axis, where a voxel and the next one are in a head."""
    for axis in range(head.ndim):
        along = np.moveaxis(head, axis, 0)
        yield np.moveaxis(along[:-1] & along[1:], 0, axis)


def slice_frechet(one: Sequence[Appearance], other: Sequence[Appearance], count: int) -> float | None:
    """Mean over views of the Fréchet distance between the slices of two sets, or None for sets that are too small.

    Features are in units of their deviation over the other set. Sets of different sizes cannot be compared: ``count``
    cases of the first are drawn, several times.

    Args:
        one: with the features ``slices``, those of `SliceStatistics`.
        other: to compare with.
        count: cases to draw.
    """
    if min(len(one), len(other), count) < LEAST_CASES:
        return None

    def views(cases: Sequence[Appearance]) -> list[np.ndarray]:
        stacked = np.stack([case.features["slices"] for case in cases])
        size = stacked.shape[2]
        return [view.reshape(-1, size) for view in np.split(stacked, len(VIEWS), axis=1)]

    reference = views(other)
    scales = [view.std(0) + 1e-6 for view in reference]
    return float(
        np.mean(
            [
                frechet_distance(mine / scale, theirs / scale)
                for drawn in _draws(one, count)
                for mine, theirs, scale in zip(views(drawn), reference, scales, strict=True)
            ]
        )
    )


def block_frechet(one: Sequence[Appearance], other: Sequence[Appearance], count: int) -> float | None:
    """The same for the features ``blocks``, those of `AutoencoderLatents`."""
    if min(len(one), len(other), count) < LEAST_CASES:
        return None
    reference = np.concatenate([case.features["blocks"] for case in other])
    scale = reference.std(0) + 1e-6
    found = []
    for drawn in _draws(one, count):
        mine = np.concatenate([case.features["blocks"] for case in drawn])
        if min(len(mine), len(reference)) <= reference.shape[1]:
            return None
        found.append(frechet_distance(mine / scale, reference / scale))
    return float(np.mean(found))


def _draws(cases: Sequence[Appearance], count: int) -> Iterator[list[Appearance]]:
    if len(cases) <= count:
        yield list(cases)
        return
    rng = np.random.default_rng(0)
    for _ in range(SPLITS):
        yield [cases[index] for index in rng.choice(len(cases), count, replace=False)]
