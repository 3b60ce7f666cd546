"""Real cases that a generator draws from: measured and fingerprinted once, read again when drawn."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthaug.errors import ConfigurationError
from synthaug.generators.cases import CasePaths
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord, LabeledVolume, fingerprint_array, fingerprint_label, read_pair

BACKGROUND_SHARE = 0.02
"""An image has a zero background where at least this share of its voxels is exactly 0; fewer zeros are intensities."""


@dataclass(frozen=True)
class CaseFacts:
    """What is kept of a case while its arrays are not in memory.

    Attributes:
        record: identifier and fingerprints, for the leakage guard.
        volumes_ml: volume of every structure and group.
        voxel_ml: volume of a voxel.
        head_ml: volume of all that is labelled or not background.
        nonzero_background: share of the unlabelled voxels whose intensity is not exactly 0.
        shape: voxels along x, y, z (RAS+).
        affine: voxel-to-mm matrix, ``(4, 4)``.
    """

    record: CaseRecord
    volumes_ml: dict[str, float]
    voxel_ml: float
    head_ml: float
    nonzero_background: float
    shape: tuple[int, int, int]
    affine: np.ndarray


class CasePool:
    """Real pairs, each on its own grid.

    Args:
        cases: their files.
        scheme: label scheme of all of them.
        channels: names of their image channels.
        kept_in_memory: pairs that stay in memory after they were read.

    Raises:
        ConfigurationError: no case, or one identifier twice.
        SynthAugError: a file is missing or unreadable, holds labels outside the scheme, or does not fit its label map.
    """

    def __init__(
        self, cases: Sequence[CasePaths], scheme: LabelScheme, channels: Sequence[str], *, kept_in_memory: int = 2
    ) -> None:
        identifiers = [case.identifier for case in cases]
        repeated = sorted({name for name in identifiers if identifiers.count(name) > 1})
        if not cases or repeated:
            found = f"{', '.join(repeated)} more than once" if repeated else "none"
            raise ConfigurationError(f"cases: {found}; give one or more real pairs, each once")
        self.cases = tuple(cases)
        self.scheme = scheme
        self.channels = tuple(channels)
        self._kept = kept_in_memory
        self._read: OrderedDict[int, LabeledVolume] = OrderedDict()
        self.facts = tuple(_measure(case, self.read(index)) for index, case in enumerate(cases))

    def __len__(self) -> int:
        return len(self.cases)

    def __getstate__(self) -> dict[str, Any]:
        # a pickled pool goes to another process, which reads what it draws
        return {**self.__dict__, "_read": OrderedDict()}

    def read(self, index: int) -> LabeledVolume:
        """The pair of a case, RAS+, on its own grid. It is shared: do not write into it."""
        if index in self._read:
            self._read.move_to_end(index)
            return self._read[index]
        case = self.cases[index]
        pair = read_pair(case.images, case.label, self.scheme, self.channels)
        self._read[index] = pair
        while len(self._read) > self._kept:
            self._read.popitem(last=False)
        return pair


def foreground_of(image: np.ndarray) -> np.ndarray:
    """Mask ``(X, Y, Z)`` of a ``(C, X, Y, Z)`` image without its background, which is exactly 0 in every channel.

    All voxels, where too few are 0 to be a background.
    """
    foreground: np.ndarray = (image != 0).any(axis=0)
    if foreground.mean() > 1 - BACKGROUND_SHARE:
        return np.ones_like(foreground)
    return foreground


def _measure(case: CasePaths, pair: LabeledVolume) -> CaseFacts:
    foreground = foreground_of(pair.image)
    unlabelled = pair.label == 0
    x, y, z = pair.label.shape
    return CaseFacts(
        record=CaseRecord(case.identifier, fingerprint_array(pair.image), fingerprint_label(pair.label)),
        volumes_ml=pair.volumes_ml(),
        voxel_ml=pair.voxel_volume_ml,
        head_ml=float(np.count_nonzero(foreground | ~unlabelled)) * pair.voxel_volume_ml,
        nonzero_background=float((pair.image != 0).any(axis=0)[unlabelled].mean()) if unlabelled.any() else 0.0,
        shape=(x, y, z),
        affine=pair.affine,
    )
