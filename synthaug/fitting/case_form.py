"""The form in which a fit sees the cases of a dataset: which labels, which grid, which intensities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from synthaug.fitting.body import background_of, body_of
from synthaug.fitting.unlabelled_tissue import UnlabelledTissue
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
        tissue: classes of unlabelled tissue; None where it is left out, as background.
        mapping: from the dataset's scheme to that of a generator that is fitted on; None: the structures stay the
            dataset's own.
    """

    dataset: LabelScheme
    channels: tuple[str, ...]
    grid: Grid
    scales: tuple[IntensityScale | None, ...]
    tissue: UnlabelledTissue | None = None
    mapping: LabelMapping | None = None

    @classmethod
    def plain(cls, dataset: LabelScheme, channels: tuple[str, ...], grid: Grid) -> CaseForm:
        """Cases that are labelled throughout, with intensities without a unit."""
        return cls(dataset, channels, grid, (None,) * len(channels))

    @property
    def structures(self) -> LabelScheme:
        """Structures with ids from 1 to N, as networks count their classes."""
        return numbered(self.dataset) if self.mapping is None else self.mapping.target

    @property
    def scheme(self) -> LabelScheme:
        """Label scheme of the generator."""
        return self.structures if self.tissue is None else self.tissue.extend(self.structures)

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
        """Label map ``(X, Y, Z)`` of a case with its unlabelled tissue, and the scale of each channel."""
        label, image = self.label_of(pair.label), without_padding(pair.image, self.channels)
        around = background_of(image)
        body = label > 0 if self.tissue is None else body_of(image, around, label > 0)
        scales = tuple(
            common or IntensityScale.of(one[body], beyond)
            for common, one, beyond in zip(self.scales, image, around, strict=True)
        )
        if self.tissue is None:
            return label, scales
        normal = np.stack([scale.normalise(one) for scale, one in zip(scales, image, strict=True)])
        unlabelled = self.tissue.classify(normal) + np.int16(1 + len(self.structures.structures))
        return np.where((label == 0) & body, unlabelled, label).astype(np.int16), scales


def numbered(scheme: LabelScheme) -> LabelScheme:
    """A scheme with the same structures and groups and the ids 1 to N, without an ignore label."""
    structures = tuple(
        Structure(one.name, number, one.mirror)
        for number, one in enumerate(sorted(scheme.structures, key=lambda one: one.id), start=1)
    )
    return LabelScheme(scheme.name, structures, scheme.groups)
