"""What the training cases of a dataset are like, measured before a fit is planned: each is read once and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthaug.errors import ConfigurationError, LabelError
from synthaug.fitting.body import background_of, body_of, smoothed
from synthaug.fitting.case_checks import check_contrast, check_labels
from synthaug.fitting.case_form import CaseForm
from synthaug.fitting.tissue_classes import TissueClasses, sample_tissue
from synthaug.generators.cases import CasePaths
from synthaug.generators.intensity_scale import LEAST_OF_UNIT, IntensityScale, without_padding
from synthaug.labels import UNLABELLED, LabelScheme
from synthaug.volumes import LabeledVolume, read_pair
from synthaug.volumes.grid import Grid, box_of

INTENSITY_SAMPLES = 50_000
"""Voxels that each case tells the scale of channels with a unit by."""

LOPSIDED = 0.1
"""Share of the body's width that an unpaired structure lies off its middle in bodies that must not be mirrored."""


@dataclass(frozen=True)
class CaseSurvey:
    """What one case is like.

    Attributes:
        identifier: its name.
        spacing_mm: voxel edges in mm along x, y and z (RAS+).
        labelled_mm: extent of the labelled voxels along these axes, in mm; 0 where there are none.
        body_mm: extent of the body likewise.
        volumes_ml: volume of each structure and group of the dataset.
        unlabelled_share: share of the body that no structure covers.
        background: intensity around the body by channel.
        tissue: intensities ``(N, C)`` of some voxels of the body.
        samples: normalised intensities ``(N, C)`` of some voxels of each structure, and of tissue without a label.
        sideways: how far each unpaired structure lies off the middle of the body, as a share of its width.
    """

    identifier: str
    spacing_mm: tuple[float, float, float]
    labelled_mm: tuple[float, float, float]
    body_mm: tuple[float, float, float]
    volumes_ml: dict[str, float]
    unlabelled_share: float
    background: tuple[float, ...]
    tissue: np.ndarray
    samples: dict[str, np.ndarray]
    sideways: dict[str, float]


@dataclass(frozen=True)
class DatasetSurvey:
    """What the training cases of a fold are like.

    Attributes:
        scheme: label scheme of the dataset.
        channels: names of its channels.
        cases: one by one.
    """

    scheme: LabelScheme
    channels: tuple[str, ...]
    cases: tuple[CaseSurvey, ...]

    @classmethod
    def of(
        cls,
        paths: Sequence[CasePaths],
        scheme: LabelScheme,
        channels: tuple[str, ...],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> DatasetSurvey:
        """Read every case.

        Raises:
            SynthAugError: a case that cannot be read, or whose image and label map contradict each other.
            LabelError: no case has a labelled voxel.
        """
        cases = []
        for number, one in enumerate(paths, start=1):
            cases.append(_survey(read_pair(one.images, one.label, scheme, channels), one))
            progress(number, len(paths))
        if not any(any(case.volumes_ml.values()) for case in cases):
            raise LabelError(
                f"{scheme.name}: none of {len(cases)} training cases has a labelled voxel; a fit needs some: label them"
            )
        return cls(scheme, channels, tuple(cases))

    @property
    def unlabelled_share(self) -> float:
        """Median over the cases."""
        return float(np.median([case.unlabelled_share for case in self.cases]))

    def body_share(self, name: str) -> float:
        """Share of the body that a structure or group holds, median over the cases that have a labelled voxel."""
        shares = []
        for case in self.cases:
            labelled_ml = sum(case.volumes_ml[one] for one in self.scheme.names)
            if labelled_ml > 0:
                shares.append(case.volumes_ml[name] * (1 - case.unlabelled_share) / labelled_ml)
        return float(np.median(shares))

    @property
    def ever_present(self) -> tuple[str, ...]:
        """Structures that some case has."""
        return tuple(name for name in self.scheme.names if any(case.volumes_ml[name] > 0 for case in self.cases))

    @property
    def one_sided(self) -> tuple[str, ...]:
        """Unpaired structures that lie to one side in general: bodies with such have no mirror image."""
        sides: dict[str, list[float]] = {}
        for case in self.cases:
            for name, share in case.sideways.items():
                sides.setdefault(name, []).append(share)
        found = []
        for name, shares in sides.items():
            doubt = 2 * float(np.std(shares)) / max(len(shares) - 1, 1) ** 0.5
            if abs(float(np.mean(shares))) > max(LOPSIDED, doubt):
                found.append(name)
        return tuple(found)

    def extent_mm(self, *, of_body: bool) -> tuple[float, float, float]:
        """Largest extent over the cases along x, y and z in mm, of their bodies or of their labelled voxels."""
        x, y, z = np.max([case.body_mm if of_body else case.labelled_mm for case in self.cases], axis=0)
        return float(x), float(y), float(z)

    def spread(self, name: str) -> float:
        """Deviation of a structure's normalised intensities, in the channel where it is largest; median over cases."""
        spreads = [float(case.samples[name].std(axis=0).max()) for case in self.cases if len(case.samples[name])]
        return float(np.median(spreads)) if spreads else 0.0

    def form(self, grid: Grid, classes: int, split: Mapping[str, int] | None = None) -> CaseForm:
        """The form of the cases on a grid.

        Args:
            grid: of the generator.
            classes: that unlabelled tissue is split into; 0: it is background.
            split: likewise by structure; those of two sides have the same classes.

        Raises:
            LabelError: unlabelled tissue is background, and a case has no other; or no such structure.
            ConfigurationError: a structure that no case has.
        """
        empty = [case.identifier for case in self.cases if not any(case.volumes_ml.values())]
        if empty and not classes:
            raise LabelError(
                f"cases without a labelled voxel: {len(empty)}, such as {', '.join(empty[:5])}; a fit needs some: "
                "leave them out or label them"
            )
        found: dict[str, TissueClasses] = {}
        for name, number in (split or {}).items():
            structure = next(one for one in self.scheme.structures if one.id == self.scheme.id_of(name))
            both = [name] if structure.mirror is None else [name, structure.mirror]
            samples = [case.samples[one] for case in self.cases for one in both]
            learnt = TissueClasses.learn(samples, number, name)
            found |= dict.fromkeys(both, learnt)
        if classes:
            found[UNLABELLED] = TissueClasses.learn([case.samples[UNLABELLED] for case in self.cases], classes)
        scales = tuple(map(self._common_scale, range(len(self.channels))))
        return CaseForm(self.scheme, self.channels, grid, scales, found)

    def _common_scale(self, channel: int) -> IntensityScale | None:
        if self.channels[channel].lower() not in LEAST_OF_UNIT:
            return None
        pooled = np.concatenate([case.tissue[:, channel] for case in self.cases])
        around = float(np.median([case.background[channel] for case in self.cases]))
        return IntensityScale.of(pooled, around, absolute=True)


def _survey(pair: LabeledVolume, paths: CasePaths) -> CaseSurvey:
    check_labels(pair.label, pair.scheme, paths.label)
    rng = np.random.default_rng(0)
    image = without_padding(pair.image, pair.channels)
    around = background_of(image)
    labelled = pair.label > 0
    body = body_of(image, around, labelled)
    if not body.any():
        raise ConfigurationError(
            f"{paths.identifier}: image and label map show nothing but background "
            f"({', '.join(f'{one:g}' for one in around)}); leave the case out"
        )
    tissue = image[:, body].T
    scales = [IntensityScale.of(one, beyond) for one, beyond in zip(tissue.T, around, strict=True)]
    check_contrast(scales, paths.images)
    normal = np.stack([scale.normalise(one) for scale, one in zip(scales, image, strict=True)])
    smooth, voxels = smoothed(normal), int(body.sum())
    parts = {UNLABELLED: body & ~labelled, **{one.name: pair.label == one.id for one in pair.scheme.structures}}
    return CaseSurvey(
        paths.identifier,
        pair.spacing_mm,
        _extent_mm(labelled, pair.spacing_mm),
        _extent_mm(body, pair.spacing_mm),
        pair.volumes_ml(),
        float(parts[UNLABELLED].sum() / voxels),
        around,
        tissue[rng.permutation(len(tissue))[:INTENSITY_SAMPLES]],
        {name: sample_tissue(smooth, inside, float(inside.sum() / voxels), rng) for name, inside in parts.items()},
        _sideways(pair, body),
    )


def _extent_mm(mask: np.ndarray, spacing_mm: Sequence[float]) -> tuple[float, float, float]:
    if not mask.any():
        return 0.0, 0.0, 0.0
    x, y, z = ((one.stop - one.start) * edge for one, edge in zip(box_of(mask), spacing_mm, strict=True))
    return x, y, z


def _sideways(pair: LabeledVolume, body: np.ndarray) -> dict[str, float]:
    """How far each unpaired structure lies off the middle of a body ``(X, Y, Z)``, as a share of its width."""
    across = box_of(body)[0]
    middle, width = (across.start + across.stop - 1) / 2, across.stop - across.start
    found = {}
    for structure in pair.scheme.structures:
        columns = (pair.label == structure.id).sum(axis=(1, 2))
        if structure.mirror is None and columns.any():
            found[structure.name] = float((np.average(np.arange(len(columns)), weights=columns) - middle) / width)
    return found
