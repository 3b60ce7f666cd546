"""What all generators with weights do alike: check conditions, keep label maps, tell how a pair was made."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from synthaug.conditions import Condition
from synthaug.errors import GeometryError
from synthaug.generators.generator_config import GeneratorConfig, refuse_no_volume
from synthaug.generators.kept_labels import KeptLabels, MadeLabel
from synthaug.generators.recipe import library_versions, processor, recipe_of
from synthaug.networks.memory_format import with_channels_last
from synthaug.networks.precision import choose_device, choose_dtype
from synthaug.volumes import LabeledVolume

EVERYWHERE = (slice(None), slice(None), slice(None))

Made = TypeVar("Made")

IMAGE_STREAM = 0x5EED
"""Keeps the noise of an image apart from that of its label map, so that either can be made without the other."""


class WeightsGenerator(ABC):
    """A generator with weights; see :class:`~synthaug.generators.protocol.LabelFirstGenerator`.

    Args:
        config: configuration of the weights.
        networks: they are moved to the device, and never trained further.
        fingerprint: sha256 (hex) of weights and configuration.
        device: where the networks run: ``auto``, ``cpu``, ``cuda:0``...

    Attributes:
        origin: ``org/name@commit`` of weights from the Hugging Face Hub; None for those of a folder.
    """

    def __init__(
        self, config: GeneratorConfig, networks: Sequence[nn.Module], *, fingerprint: str, device: str = "auto"
    ) -> None:
        self.name = config.name
        self.scheme = config.scheme
        self.channels = config.channels
        self.shape = config.grid.shape
        self.affine = config.grid.affine
        self.bounds = config.bounds
        self.intensities = config.intensities
        self.training_cases = config.training_cases
        self.licence = config.licence
        self.required_structures = config.required_structures
        self.background = tuple(scale.background for scale in config.intensities)
        self.max_nonzero_background = float(any(self.background))
        self.fingerprint = fingerprint
        self.origin: str | None = None
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device)
        for network in networks:
            with_channels_last(network.to(self.device)).eval().requires_grad_(False)
        self._kept = KeptLabels(self._make_for)

    @abstractmethod
    def _make_labels(self, targets_ml: Sequence[Mapping[str, float]], seeds: Sequence[int]) -> list[MadeLabel]:
        """Label maps with volumes asked for, in mL by control, a seed each."""

    @abstractmethod
    def _images_for(
        self, made: Sequence[MadeLabel], seeds: Sequence[int], patch: tuple[slice, slice, slice]
    ) -> list[np.ndarray]:
        """Images ``(C, X, Y, Z)`` float32 for label maps of this generator, of a patch alone."""

    @torch.inference_mode()
    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        """Make one pair for each condition and seed; see :class:`~synthaug.generators.protocol.PairGenerator`."""
        return self._generate(conditions, seeds, EVERYWHERE)

    @torch.inference_mode()
    def sample_labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[np.ndarray]:
        """Label maps ``(X, Y, Z)`` of the pairs that :meth:`generate` makes for these conditions and seeds, no images.

        The last ones are kept: quality control looks at label maps first, and only those that pass get an image.

        Raises:
            BoundsError: a target outside ``bounds``, unless its condition asks for extrapolation; one that is not
                above 0.
        """
        return [one.label.copy() for one in self._labels(conditions, seeds)]

    @property
    def computed_with(self) -> dict[str, Any]:
        """Device, floating-point type and versions of libraries, for the provenance."""
        return {
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            **processor(self.device),
            "versions": library_versions(),
        }

    def _labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[MadeLabel]:
        for condition in conditions:
            self.bounds.check(condition)
            for name, volume_ml in condition.targets_ml.items():
                refuse_no_volume(name, volume_ml)
        return self._kept.get(conditions, seeds)

    def _make_for(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[MadeLabel]:
        targets_ml = [condition.targets_ml for condition in conditions]
        return self._in_batches(len(seeds), lambda batch: self._make_labels(targets_ml[batch], seeds[batch]))

    def _in_batches(self, size: int, make: Callable[[slice], list[Made]]) -> list[Made]:
        """What ``make`` makes of batches: on a GPU of all at once, on a CPU of one item each.

        A CPU gains nothing by larger ones, and its float32 convolutions round otherwise in a batch than alone.
        """
        at_once = 1 if self.device.type == "cpu" else max(1, size)
        return [one for first in range(0, size, at_once) for one in make(slice(first, first + at_once))]

    def _generate(
        self, conditions: Sequence[Condition], seeds: Sequence[int], patch: tuple[slice, slice, slice]
    ) -> list[LabeledVolume]:
        made = self._labels(conditions, seeds)
        started = time.perf_counter()
        images = self._in_batches(len(made), lambda batch: self._images_for(made[batch], seeds[batch], patch))
        seconds = (time.perf_counter() - started) / max(len(images), 1)
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [one.indices(size)[0] for one, size in zip(patch, self.shape, strict=True)]
        return [
            self._pair(image, replace(one, label=one.label[patch].copy()), affine.copy(), condition, seed, seconds)
            for image, one, condition, seed in zip(images, made, conditions, seeds, strict=True)
        ]

    def _pair(
        self, image: np.ndarray, made: MadeLabel, affine: np.ndarray, condition: Condition, seed: int, seconds: float
    ) -> LabeledVolume:
        pair = LabeledVolume(
            image=image, label=made.label, affine=affine, scheme=self.scheme, channels=self.channels, provenance={}
        )
        pair.provenance.update(
            generator=self.name,
            generator_sha256=self.fingerprint,
            seed=seed,
            requested_ml=dict(condition.targets_ml),
            realised_ml=pair.volumes_ml(),
            seconds=round(made.seconds + seconds, 3),
            seconds_label=round(made.seconds, 3),
            **made.details,
            **self.computed_with,
            **({} if self.origin is None else {"generator_origin": self.origin}),
            **recipe_of(self),
        )
        return pair


class TwoStageGenerator(WeightsGenerator):
    """A generator whose second stage makes an image for any label map.

    See :class:`~synthaug.generators.protocol.ImageForLabelGenerator`.
    """

    @abstractmethod
    def _make_images(
        self, labels: Sequence[np.ndarray], seeds: Sequence[int], patch: tuple[slice, slice, slice]
    ) -> list[np.ndarray]:
        """Images ``(C, X, Y, Z)`` float32 for label maps ``(X, Y, Z)``, of a patch alone."""

    def _images_for(
        self, made: Sequence[MadeLabel], seeds: Sequence[int], patch: tuple[slice, slice, slice]
    ) -> list[np.ndarray]:
        return self._make_images([one.label for one in made], seeds, patch)

    @torch.inference_mode()
    def generate_images(self, labels: Sequence[np.ndarray], seeds: Sequence[int]) -> list[np.ndarray]:
        """Make an image for each label map; see :class:`~synthaug.generators.protocol.ImageForLabelGenerator`.

        The label map of a pair and the pair's seed give the pair's image.
        """
        for label in labels:
            if label.shape != self.shape:
                raise GeometryError(
                    f"label map of shape {label.shape}; {self.name} takes {self.shape}: place it on that grid"
                )
            replace(self.scheme, ignore_id=None).check(label, "label map")  # the networks know no such class
        return self._in_batches(len(labels), lambda batch: self._make_images(labels[batch], seeds[batch], EVERYWHERE))
