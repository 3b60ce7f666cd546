"""Pairs of several origins looked at in one way: on a common grid, head by head."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthaug.errors import ConfigurationError
from synthaug.evaluation.extractors import HEAD_SHARE, Extractor
from synthaug.evaluation.fidelity import Appearance, ImageLook, likeness, size_at_2mm
from synthaug.evaluation.perceptual_maps import COMPARED_SLICES, PerceptualMaps
from synthaug.evaluation.slice_extractors import SliceStatistics
from synthaug.evaluation.slice_figures import (
    block_frechet,
    dice_at_joins,
    join_dice,
    neighbour_dice,
    sharpness,
    slice_frechet,
)
from synthaug.labels import LabelScheme, Structure
from synthaug.labels.tissue_class import OF_UNLABELLED
from synthaug.volumes import LabeledVolume
from synthaug.volumes.grid import Grid, box_centre_mm, box_of, place_on_grid

HEAD = LabelScheme("head", (Structure("head", 1),))

SLICES = 24
"""Of each view of an image, for the Fréchet distance."""

MARGIN = 1.1
"""Width of the grid that all images are placed on, in widths of the largest head."""


@dataclass(frozen=True)
class Look:
    """How all images are looked at.

    Attributes:
        grid: cubic; heads are placed at its centre.
        structures: names of the structures that neighbouring slices are compared by.
        with_body: the head of a real image is the whole body, since generators make unlabelled tissue too.
        images: with the extractors ``slices`` and ``blocks``.
    """

    grid: Grid
    structures: tuple[str, ...]
    with_body: bool
    images: ImageLook

    @classmethod
    def at(
        cls,
        real: Iterable[LabeledVolume],
        structures: Sequence[str],
        generated: Iterable[LabelScheme],
        *,
        spacing_mm: float,
        alexnet: Path | None,
    ) -> Look:
        """A look that suits the heads of real pairs.

        Args:
            real: read one by one.
            structures: names of those to compare neighbouring slices by.
            generated: label schemes of the pairs that are compared with the real ones.
            spacing_mm: of all images.
            alexnet: weights for learned LPIPS, or None.

        Raises:
            ConfigurationError: a label map without labels, or weights that are missing, damaged or others.
        """
        from synthaug.evaluation.offline_extractors import offline_extractors

        with_body = any(OF_UNLABELLED.fullmatch(name) for scheme in generated for name in scheme.names)
        extents = []
        for pair in real:
            box = box_of(head_of(pair, with_body=with_body))
            extents.append([(one.stop - one.start) * edge for one, edge in zip(box, pair.spacing_mm, strict=True)])
        size = math.ceil(MARGIN * np.max(extents) / spacing_mm)
        half = HEAD_SHARE / 2 * torch.from_numpy(np.median(extents, axis=0)) / spacing_mm

        def places(count: int) -> torch.Tensor:
            along = (size - 1) / 2 + half[:, None] * torch.linspace(-1, 1, count, dtype=torch.float64)
            return along.round().long().clamp(0, size - 1)

        extractors: dict[str, Extractor] = {
            "slices": SliceStatistics(places(SLICES)),
            "blocks": offline_extractors()["image autoencoder"],
        }
        grid = Grid((size,) * 3, (spacing_mm,) * 3)
        compared = places(COMPARED_SLICES) * size_at_2mm(grid)[0] // size
        images = ImageLook(HEAD, grid, extractors, PerceptualMaps.at(compared, alexnet))
        return cls(grid, tuple(structures), with_body, images)

    def place(self, pair: LabeledVolume, *, is_real: bool) -> tuple[LabeledVolume, np.ndarray]:
        """A pair on the grid, its image 0 around the head; and its head, int16 ``(n, n, n)``."""
        head = head_of(pair, with_body=self.with_body and is_real)
        affine = self.grid.affine_centred_at(box_centre_mm(head, pair.affine))

        def placed(array: np.ndarray, *, is_label: bool) -> np.ndarray:
            return place_on_grid(array, pair.affine, self.grid, affine, is_label=is_label)

        inside = placed(head.astype(np.int16), is_label=True)
        image = np.stack([placed(one, is_label=False) for one in pair.image]) * (inside > 0)
        label = placed(pair.label, is_label=True)
        on_grid = LabeledVolume(image.astype(np.float32), label, affine, pair.scheme, pair.channels, pair.provenance)
        return on_grid, inside


def head_of(pair: LabeledVolume, *, with_body: bool) -> np.ndarray:
    """Voxels ``(X, Y, Z)`` that are looked at: all that has a label, or the whole body.

    Raises:
        ConfigurationError: there are none.
    """
    from synthaug.fitting.body import background_of, body_of
    from synthaug.generators.intensity_scale import without_padding

    ignored = pair.scheme.ignore_id
    head = (pair.label > 0) if ignored is None else (pair.label > 0) & (pair.label != ignored)
    if with_body:
        image = without_padding(pair.image, pair.channels)
        head = body_of(image, background_of(image), head)
    if not head.any():
        raise ConfigurationError(f"{pair.provenance.get('label', 'a pair')}: its label map is empty; leave it out")
    return np.asarray(head)


@dataclass
class ViewSurvey:
    """What is kept of one set of pairs.

    Attributes:
        appearances: of the images.
        neighbours: Dice between neighbouring axial slices on the common grid.
        sharpness: of the first channels: see `sharpness`.
        joins: by pair of a sequence generator, Dice across joins and elsewhere, on its own grid: see `join_dice`.
    """

    appearances: list[Appearance] = field(default_factory=list)
    neighbours: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    joins: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, LabeledVolume]], look: Look, *, is_real: bool) -> ViewSurvey:
        """Look at pairs one by one.

        Raises:
            ConfigurationError: a pair without labels, one that is dark all over, or one with joins outside its slices.
        """
        seen = cls()
        for name, pair in pairs:
            placed, head = look.place(pair, is_real=is_real)
            seen.appearances.append(Appearance.of(name, placed.image, head, placed.affine, look.images))
            seen.sharpness.append(sharpness(placed.image[0], head > 0))
            dice = neighbour_dice(placed, look.structures)
            seen.neighbours += dice[~np.isnan(dice)].tolist()
            dice_apart = join_dice(name, pair, look.structures)
            if dice_apart is not None:
                seen.joins.append(dice_apart)
        return seen

    def figures(self, real: ViewSurvey, count: int) -> dict[str, Any]:
        """JSON-ready figures, None where a set is too small.

        Args:
            real: pairs that images are compared with.
            count: pairs of this set to compare with them: see `slice_frechet`.
        """
        at_joins, beside_joins = dice_at_joins(self.joins)
        return {
            "cases": len(self.appearances),
            "fid": slice_frechet(self.appearances, real.appearances, count),
            "block_frechet": block_frechet(self.appearances, real.appearances, count),
            **{measure: one.mean if one else None for measure, one in likeness(self.appearances).items()},
            "sharpness": _ratio(self.sharpness, real.sharpness),
            "neighbour_dice": _mean(self.neighbours),
            "dice_at_joins": at_joins,
            "dice_beside_joins": beside_joins,
        }


def _ratio(values: Sequence[float], real: Sequence[float]) -> float | None:
    return float(np.mean(values) / np.mean(real)) if values and real else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
