"""What every generator of labelled volumes looks like from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from synthaug.conditions import Condition, VolumeBounds
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord, LabeledVolume


@runtime_checkable
class PairGenerator(Protocol):
    """Turns conditions into pairs of label map and image.

    Attributes:
        name: name it was loaded by.
        scheme: label scheme of the label maps.
        channels: names of the image channels.
        shape: voxels along x, y, z (RAS+).
        affine: voxel-to-mm matrix of the pairs, ``(4, 4)``.
        bounds: target volumes in mL that it was trained for.
        fingerprint: sha256 (hex) of its weights and configuration.
        training_cases: what it was fitted on, for the leakage guard.
    """

    name: str
    scheme: LabelScheme
    channels: tuple[str, ...]
    shape: tuple[int, int, int]
    affine: np.ndarray
    bounds: VolumeBounds
    fingerprint: str
    training_cases: tuple[CaseRecord, ...]

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        """Make one pair for each condition and seed.

        The same seed, weights, device and floating-point type give the same pair, whatever else is in the batch.

        Raises:
            BoundsError: a target outside ``bounds``, unless its condition asks for extrapolation.
        """
        ...


@runtime_checkable
class LabelFirstGenerator(PairGenerator, Protocol):
    """A generator that makes label maps first: quality control saves the image of one that is rejected."""

    def sample_labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[np.ndarray]:
        """Label maps ``(X, Y, Z)`` of the pairs that ``generate`` makes for these conditions and seeds.

        Raises:
            BoundsError: a target outside ``bounds``, unless its condition asks for extrapolation.
        """
        ...


@runtime_checkable
class ImageForLabelGenerator(PairGenerator, Protocol):
    """A generator that makes images for label maps that it is given.

    Attributes:
        background: intensity of each channel outside all labels.
        computed_with: device, floating-point type and versions of libraries, for the provenance; JSON-ready.
    """

    background: tuple[float, ...]

    @property
    def computed_with(self) -> dict[str, Any]: ...

    def generate_images(self, labels: Sequence[np.ndarray], seeds: Sequence[int]) -> list[np.ndarray]:
        """Images ``(C, X, Y, Z)`` float32 for label maps ``(X, Y, Z)``; exactly ``background`` where these are 0.

        The label maps have the generator's ids, shape and spacing. A label map and a seed give the same image, whatever
        else is in the batch.

        Raises:
            GeometryError: a label map of another shape.
            LabelError: labels outside the generator's scheme.
        """
        ...
