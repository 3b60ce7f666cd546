"""A generator of one's own: the pairs of another one as a scanner with thick slices and more noise would show them.

    PYTHONPATH=examples synthaug sample --generator python:own_generator:make --target ventricles=40 --out thick
    PYTHONPATH=examples synthaug precompute --generator python:own_generator:make --option slice_mm=6 --out CACHE

Whatever has the attributes and the method of ``ThickSlices`` is a generator: nothing has to be inherited or registered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from synthaug import Condition, LabeledVolume, PairGenerator, SynthAugError
from synthaug.precomputing import load_named_generator

NOISE_STREAM = 0x7415
"""Keeps the draws of the noise apart from those of other generators with the same seed."""


class ThickSlices:
    """Images blurred along z and with noise; label maps, and so the volumes, stay.

    Args:
        base: makes the pairs.
        slice_mm: thickness of the slices.
        noise: its standard deviation, as a share of the mean intensity within the head.

    Raises:
        SynthAugError: a thickness or a noise out of range.
    """

    def __init__(self, base: PairGenerator, slice_mm: float = 5.0, noise: float = 0.05) -> None:
        if not 0 < slice_mm <= 20:
            raise SynthAugError(f"slice_mm is {slice_mm:g}; allowed is above 0 to 20: give the thickness in mm")
        if not 0 <= noise <= 1:
            raise SynthAugError(f"noise is {noise:g}; allowed is 0 to 1: give a share of the mean intensity")
        self._base, self._slice_mm, self._noise = base, slice_mm, noise
        self.name = f"thick-{base.name}"
        self.scheme, self.channels, self.shape, self.affine = base.scheme, base.channels, base.shape, base.affine
        self.bounds = base.bounds  # volumes that may be asked for
        self.training_cases = base.training_cases  # what base has seen, its pairs can show: the leakage guard asks
        # all that decides about the pairs: a cache is continued only by the generator that it was begun with
        decisive = [base.fingerprint, slice_mm, noise]
        self.fingerprint = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        """One pair for each condition; the same condition and seed give the same pair."""
        pairs = self._base.generate(conditions, seeds)
        return [self._changed(pair, seed) for pair, seed in zip(pairs, seeds, strict=True)]

    def _changed(self, pair: LabeledVolume, seed: int) -> LabeledVolume:
        head = pair.label > 0
        # a slice profile whose width at half its height is the thickness
        deviation = self._slice_mm / 2.355 / pair.spacing_mm[2]
        image = gaussian_filter1d(pair.image, deviation, axis=3)
        draws = np.random.default_rng([NOISE_STREAM, seed])
        noise = draws.normal(0.0, self._noise * float(pair.image[:, head].mean()), image.shape)
        image = np.where(head, image + noise, 0).astype(np.float32)  # the background stays exactly 0
        provenance = {**pair.provenance, "generator": self.name, "generator_sha256": self.fingerprint}
        provenance |= {"slice_mm": self._slice_mm, "noise": self._noise}
        return LabeledVolume(image, pair.label, pair.affine, pair.scheme, pair.channels, provenance)


def make(*, device: str = "auto", base: str = "ventricles-t1-1mm", **options: Any) -> ThickSlices:
    """What the command line calls, with ``--device`` and every ``--option``."""
    return ThickSlices(load_named_generator(base, device=device), **options)
