"""The form in which a fit sees the cases of a dataset: which labels, which grid, which intensities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from synthaug.fitting.body import background_of, body_of
from synthaug.fitting.tissue_classes import TissueClasses, TissueSplit
from synthaug.generators.intensity_scale import IntensityScale, without_padding
from synthaug.labels import LabelMapping, LabelScheme, Structure
from synthaug.volumes import LabeledVolume
from synthaug.volumes.grid import Grid


@dataclass(frozen=True)
class CaseForm:
    """How the cases of a dataset are brought to the form that the networks are fitted on.

    Attributes:
        dataset: label scheme of the files.
        channels: names of the image channels.
        grid: grid of the generator.
        scales: of channels whose intensities have a unit; None for channels whose cases are each scaled by themselves.
        classes: by structure that is split by intensity, or ``unlabelled``; where the latter is not among them, tissue
            without a label is background.
        mapping: from the dataset's scheme to that of a generator that is fitted on; None: the structures stay the
            dataset's own.
    """

    dataset: LabelScheme
    channels: tuple[str, ...]
    grid: Grid
    scales: tuple[IntensityScale | None, ...]
    classes: Mapping[str, TissueClasses] = field(default_factory=dict)
    mapping: LabelMapping | None = None

    @classmethod
    def plain(cls, dataset: LabelScheme, channels: tuple[str, ...], grid: Grid) -> CaseForm:
        """Cases that are labelled throughout, with intensities without a unit."""
        return cls(dataset, channels, grid, (None,) * len(channels))

    @property
    def structures(self) -> LabelScheme:
        """Structures with ids from 1 to N, none of them split."""
        return numbered(self.dataset) if self.mapping is None else self.mapping.target

    @property
    def scheme(self) -> LabelScheme:
        """Label scheme of the generator."""
        return self.split.scheme

    @property
    def split(self) -> TissueSplit:
        """What intensities tell apart."""
        return TissueSplit(self.structures, self.classes)

    def label_of(self, label: np.ndarray) -> np.ndarray:
        """Label map ``(X, Y, Z)`` with the ids of `structures`; ignored voxels count as unlabelled."""
        kept = label if self.dataset.ignore_id is None else np.where(label == self.dataset.ignore_id, 0, label)
        if self.mapping is not None:
            return self.mapping.apply(kept)
        if self.structures.ids == self.dataset.ids:
            return kept
        source = replace(self.dataset, ignore_id=None)
        return LabelMapping(source, self.structures, {name: name for name in source.names}).apply(kept)

    def tissue_of(self, pair: LabeledVolume) -> tuple[np.ndarray, tuple[IntensityScale, ...]]:
        """Label map ``(X, Y, Z)`` of a case with the ids of `scheme`, and the scale of each channel."""
        label, image = self.label_of(pair.label), without_padding(pair.image, self.channels)
        around = background_of(image)
        body = body_of(image, around, label > 0) if self.split.of_unlabelled else label > 0
        scales = tuple(
            common or IntensityScale.of(one[body], beyond)
            for common, one, beyond in zip(self.scales, image, around, strict=True)
        )
        if not self.classes:
            return label, scales
        normal = np.stack([scale.normalise(one) for scale, one in zip(scales, image, strict=True)])
        return self.split.apply(label, normal, body), scales


def numbered(scheme: LabelScheme) -> LabelScheme:
    """A scheme with the same structures and groups and the ids 1 to N, without an ignore label."""
    structures = tuple(
        Structure(one.name, number, one.mirror)
        for number, one in enumerate(sorted(scheme.structures, key=lambda one: one.id), start=1)
    )
    return LabelScheme(scheme.name, structures, scheme.groups)
