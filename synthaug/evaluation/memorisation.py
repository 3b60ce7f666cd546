"""Memorisation: is a sample nearer to a training case than cases are that were never seen?

Published audits of medical diffusion models found that samples may be copies of their training cases. How near is too
near is told by real cases that were held out: a sample that lies nearer to a training case than nearly all of those do
is counted as a copy. Few held-out cases, or cases of another kind, tell that badly; so the training cases are held
against each other too, each against all others. Label maps and images are looked at apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from synthaug.errors import ConfigurationError
from synthaug.evaluation.intervals import median_interval, share_interval
from synthaug.labels import LabelScheme
from synthaug.volumes.grid import Grid, box_centre_mm, place_on_grid

BLOCK_MM = 4.0
"""Cases are compared as means over blocks of this width: noise and jagged borders are no differences between heads."""

PERCENTILE = 1.0
"""Of the distances from held-out cases to the training set: what is nearer is a copy."""

MOST_SUBJECTS = 100
"""Training cases that are held against each other: every two of them take some milliseconds."""


@dataclass(frozen=True)
class CaseFeatures:
    """What is compared of a case, on a grid with the head's box at its centre.

    Attributes:
        name: the case.
        mask: ``(structures, x, y, z)`` float32, share of each structure in each block.
        image: ``(channels, x, y, z)`` float32, zero mean and unit norm over the head, 0 outside; None without an image.
    """

    name: str
    mask: np.ndarray
    image: np.ndarray | None

    @classmethod
    def of(
        cls,
        name: str,
        label: np.ndarray,
        image: np.ndarray | None,
        affine: np.ndarray,
        scheme: LabelScheme,
        grid: Grid,
    ) -> CaseFeatures:
        """Features of a label map ``(X, Y, Z)`` and an image ``(C, X, Y, Z)`` with one affine.

        Args:
            name: the case.
            label: in the scheme's ids.
            image: or None.
            affine: voxel-to-mm matrix, ``(4, 4)``.
            scheme: label scheme.
            grid: the same for all cases that are compared.
        """
        centred = grid.affine_centred_at(box_centre_mm(label > 0, affine))
        placed = place_on_grid(label, affine, grid, centred, is_label=True)
        block = [max(1, round(BLOCK_MM / spacing)) for spacing in grid.spacing_mm]

        def blocks(array: np.ndarray) -> np.ndarray:
            tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
            return functional.avg_pool3d(tensor[None, None], block)[0, 0].numpy()

        mask = np.stack([blocks(placed == scheme.id_of(one)) for one in scheme.names])
        if image is None:
            return cls(name, mask, None)
        head = blocks(placed > 0)
        channels = []
        for one in image:
            mean = blocks(place_on_grid(one, affine, grid, centred, is_label=False))
            inside = (mean - np.average(mean, weights=head)) * head
            channels.append(inside / max(float(np.linalg.norm(inside)), 1e-9))
        return cls(name, mask, np.stack(channels))

    def mirrored(self, scheme: LabelScheme) -> CaseFeatures:
        """The same of the left-right mirror image, which a generator may have been fitted on too."""
        swap = scheme.mirror_ids()
        order = [
            scheme.names.index(next(other for other in scheme.names if scheme.id_of(other) == swap.get(own, own)))
            for own in map(scheme.id_of, scheme.names)
        ]
        image = None if self.image is None else self.image[:, ::-1]
        return CaseFeatures(f"{self.name} (mirrored)", self.mask[order][:, ::-1], image)


def mask_distance(one: CaseFeatures, other: CaseFeatures) -> float:
    """1 minus the mean over structures of the Dice overlap of shares; 0 for the same label map."""
    overlap = np.minimum(one.mask, other.mask).sum((1, 2, 3))
    size = one.mask.sum((1, 2, 3)) + other.mask.sum((1, 2, 3))
    present = size > 0
    return float(1 - np.mean(2 * overlap[present] / size[present]))


def image_distance(one: CaseFeatures, other: CaseFeatures) -> float:
    """1 minus the correlation of intensities over the head; 0 for the same image up to brightness and contrast."""
    assert one.image is not None
    assert other.image is not None
    return float(1 - np.mean((one.image * other.image).sum((1, 2, 3))))


Distance = Callable[[CaseFeatures, CaseFeatures], float]


@dataclass(frozen=True)
class Nearest:
    """A case and the training case that is nearest to it.

    Attributes:
        name: the case.
        training_case: the nearest one; a mirror image is said to be one.
        distance: between the two.
    """

    name: str
    training_case: str
    distance: float


class MemorisationAudit:
    """Audit of samples against the training cases, one kind of features at a time.

    Args:
        scheme: label scheme of all features.
        training: what the generator was fitted on.
        held_out: real cases that it never saw.

    Raises:
        ConfigurationError: no training case, or none that was held out.
    """

    def __init__(self, scheme: LabelScheme, training: Sequence[CaseFeatures], held_out: Sequence[CaseFeatures]) -> None:
        for what, cases in (("that the generator was fitted on", training), ("that was held out from it", held_out)):
            if not cases:
                raise ConfigurationError(
                    f"memorisation: no case {what} is among those of --real; give folders that hold both kinds"
                )
        self._scheme = scheme
        self._subjects = list(training)
        self._training = [*training, *(one.mirrored(scheme) for one in training)]
        self._held_out = list(held_out)
        self._samples: list[CaseFeatures] = []

    def add(self, sample: CaseFeatures) -> None:
        """Take note of a sample."""
        self._samples.append(sample)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready figures, of masks and, where there are images, of images."""
        kinds = {"masks": mask_distance, "images": image_distance}
        report: dict[str, Any] = {}
        for kind, distance in kinds.items():
            training, held_out, samples = (
                [one for one in cases if kind == "masks" or one.image is not None]
                for cases in (self._training, self._held_out, self._samples)
            )
            if not training or not held_out or not samples:
                continue
            real = [_nearest(one, training, distance) for one in held_out]
            made = sorted((_nearest(one, training, distance) for one in samples), key=lambda one: one.distance)
            threshold = float(np.percentile([one.distance for one in real], PERCENTILE))
            copies = sum(one.distance < threshold for one in made)
            among = self._among_training(distance, of_images=kind == "images")
            report[kind] = {
                "training_cases": len(training) // 2,
                "held_out_cases": len(held_out),
                "samples": len(made),
                "threshold": threshold,
                "held_out_distances": _spread(real),
                "training_distances": _spread(among) if among else None,
                "nearer_than_training_cases": _count_nearer(made, among),
                "sample_distances": _spread(made),
                "copies": copies,
                "copied_share": copies / len(made),
                "intervals_95": {
                    "copied_share": share_interval(copies, len(made)).to_dict(),
                    "held_out_median": median_interval([one.distance for one in real]).to_dict(),
                    "sample_median": median_interval([one.distance for one in made]).to_dict(),
                },
                "nearest": [vars(one) for one in made[:5]],
            }
        return report

    def _among_training(self, distance: Distance, *, of_images: bool) -> list[Nearest]:
        """Each training case's nearest other one, of `MOST_SUBJECTS` at most; empty where there is one alone."""
        subjects = [one for one in self._subjects if not of_images or one.image is not None]
        subjects = subjects[:: max(-(-len(subjects) // MOST_SUBJECTS), 1)]
        if len(subjects) < 2:
            return []
        mirrored = {one.name: one.mirrored(self._scheme) for one in subjects}
        return [
            _nearest(
                one,
                [form for other in subjects if other is not one for form in (other, mirrored[other.name])],
                distance,
            )
            for one in subjects
        ]


def _count_nearer(made: Sequence[Nearest], among: Sequence[Nearest]) -> int | None:
    """Samples nearer to a training case than any two training cases are to each other; None: there are no two."""
    if not among:
        return None
    least = min(one.distance for one in among)
    return sum(one.distance < least for one in made)


def _nearest(case: CaseFeatures, training: Sequence[CaseFeatures], distance: Distance) -> Nearest:
    distances = [distance(case, one) for one in training]
    best = int(np.argmin(distances))
    return Nearest(case.name, training[best].name, distances[best])


def _spread(cases: Sequence[Nearest]) -> dict[str, float]:
    values = np.array([one.distance for one in cases])
    return {"least": float(values.min()), "median": float(np.median(values)), "largest": float(values.max())}
