"""Domain randomisation: label maps of another generator, with images of any contrast (Billot et al. 2023, SynthSeg).

Nothing is trained. Label maps are real ones, warped and with the volumes asked for (`counterfactual`), or those of a
guided LDM; each image has a contrast, a field and a resolution of its own
(:mod:`~synthaug.generators.random_contrast`).
A segmentation network that learns from such pairs depends on no scanner.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np

from synthaug.conditions import Condition
from synthaug.configuration import load_config
from synthaug.errors import ConfigurationError, GeometryError, did_you_mean
from synthaug.generators.cases import CasePaths
from synthaug.generators.counterfactual import CounterfactualGenerator
from synthaug.generators.counterfactual_options import CounterfactualOptions
from synthaug.generators.protocol import LabelFirstGenerator, PairGenerator
from synthaug.generators.random_contrast import RandomContrast
from synthaug.generators.recipe import library_versions, origins_of, recipe_of
from synthaug.generators.registry import DOMAIN_RANDOMIZATION, WITHOUT_WEIGHTS, load_generator
from synthaug.labels import LabelScheme
from synthaug.volumes import LabeledVolume

NAME = DOMAIN_RANDOMIZATION
IMAGE_STREAM = 0xD0
"""Stream of an image's draws beside that of its label map."""

LEAST_LABELLED = 0.5
"""Share of each head that labels must cover: what has no label is black in a drawn image."""

WARP_OPTIONS = ("random_warp", "flip", "max_growth", "max_shrinkage")
"""Options of the counterfactuals whose label maps are taken."""


class DomainRandomization:
    """Generator of label maps with drawn images. See :class:`~synthaug.generators.protocol.PairGenerator`.

    Args:
        masks: makes the label maps; its images are not used.
        channels: names of the image channels, each with a contrast of its own; None: those of ``masks``.
        contrast: ranges that images are drawn from.
    """

    name = NAME

    def __init__(
        self, masks: PairGenerator, *, channels: Sequence[str] | None = None, contrast: RandomContrast | None = None
    ) -> None:
        self.masks = masks
        self.contrast = contrast or RandomContrast()
        self.scheme = masks.scheme
        self.channels = tuple(channels) if channels is not None else masks.channels
        self.shape = masks.shape
        self.affine = masks.affine
        self.bounds = masks.bounds
        self.training_cases = masks.training_cases
        self.licence = getattr(masks, "licence", None)
        self.origins = origins_of(masks=masks)
        self.required_structures = tuple(getattr(masks, "required_structures", masks.scheme.names))
        self.fingerprint = self._fingerprint()
        self._label_seconds: dict[tuple[str, int], float] = {}

    @classmethod
    def from_options(
        cls,
        options: Mapping[str, Any],
        *,
        cases: Sequence[CasePaths] | None = None,
        scheme: LabelScheme | None = None,
        channels: Sequence[str] | None = None,
        device: str = "auto",
    ) -> DomainRandomization:
        """Make the generator of the label maps that the options name, and draw images for these.

        Args:
            options: ``masks``, the name or folder of a generator with weights whose label maps are taken, with its own
                options; without it the cases' label maps are warped. Fields of
                :class:`~synthaug.generators.random_contrast.RandomContrast`.
            cases: real pairs, whose label maps are warped where ``masks`` is not given.
            scheme: of the cases.
            channels: names of the image channels.
            device: where networks run.

        Raises:
            ConfigurationError: an option that is not allowed, neither cases nor ``masks``, or both, or cases that are
                labelled in small part only.
        """
        ranges = {one.name for one in fields(RandomContrast)}
        contrast = load_config(
            RandomContrast, {key: value for key, value in options.items() if key in ranges}, where=NAME
        )
        rest = {key: value for key, value in options.items() if key not in ranges}
        named = rest.pop("masks", None)
        if channels is not None and (
            isinstance(channels, str) or not channels or not all(isinstance(one, str) and one for one in channels)
        ):
            raise ConfigurationError(f"{NAME}: channels is {channels!r}; it must be one or more names in a list")
        if named is not None:
            masks = _load_masks(str(named), rest, device, with_cases=bool(cases))
            return LabelFirstDomainRandomization(masks, channels=channels, contrast=contrast)
        if not cases or scheme is None:
            raise ConfigurationError(
                f"generator {NAME!r} needs label maps: give --dataset or --cases IMAGE,LABEL for those of real cases, "
                "or --option masks=ventricles-t1-1mm for made ones"
            )
        names = tuple(channels) if channels is not None else tuple(f"channel{i}" for i in range(len(cases[0].images)))
        known = ("masks", *ranges, *WARP_OPTIONS)
        for key in rest:
            if key not in WARP_OPTIONS:
                raise ConfigurationError(
                    f"{NAME}: unknown option {key!r}{did_you_mean(key, known)}; the options are {', '.join(known)}"
                )
        warps = CounterfactualOptions.from_dict({"random_warp": True, **rest})
        warped = CounterfactualGenerator(cases, scheme, names, warps)
        worst, share = min(warped.labelled_shares().items(), key=lambda case: case[1])
        if share < LEAST_LABELLED:
            raise ConfigurationError(
                f"{NAME}: labels of the scheme {scheme.name!r} cover {share:.0%} of the head of {worst}, and what has "
                f"no label is black in a drawn image; {LEAST_LABELLED:.0%} are needed: give cases with more "
                "structures, or masks=NAME for the label maps of a generator"
            )
        return cls(warped, channels=names, contrast=contrast)

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        """Make one pair for each condition and seed; see :class:`~synthaug.generators.protocol.PairGenerator`."""
        return [self._drawn(self._mask(one, seed), one, seed) for one, seed in zip(conditions, seeds, strict=True)]

    def _mask(self, condition: Condition, seed: int) -> LabeledVolume:
        (pair,) = self.masks.generate([condition], [seed])
        return pair

    def _drawn(self, mask: LabeledVolume, condition: Condition, seed: int) -> LabeledVolume:
        """The pair of a label map."""
        started = time.perf_counter()
        image = self._image(mask.label, mask.spacing_mm, seed)
        seconds = time.perf_counter() - started
        provenance = {
            **getattr(self.masks, "computed_with", {}),
            **mask.provenance,
            "generator": self.name,
            "generator_sha256": self.fingerprint,
            "masks": self.masks.name,
            "masks_sha256": self.masks.fingerprint,
            "seed": int(seed),
            "requested_ml": dict(condition.targets_ml),
            "realised_ml": mask.volumes_ml(),
            "seconds": round(float(mask.provenance.get("seconds", 0.0)) + seconds, 3),
            "contrast": asdict(self.contrast),
        }
        provenance.setdefault("versions", library_versions())
        for key in ("recipe", "generator_origin"):  # those of the masks
            provenance.pop(key, None)
        provenance.update({f"{option}_origin": origin for option, origin in self.origins.items()})
        provenance.update(recipe_of(self))
        return replace(mask, image=image, channels=self.channels, provenance=provenance)

    def _image(self, label: np.ndarray, spacing_mm: Sequence[float], seed: int) -> np.ndarray:
        """Image ``(C, X, Y, Z)`` of a label map."""
        draws = [np.random.default_rng([seed, IMAGE_STREAM, number]) for number in range(len(self.channels))]
        return np.stack([self.contrast.image(label, self.scheme, spacing_mm, rng) for rng in draws])

    def _fingerprint(self) -> str:
        described = {
            "system": self.name,
            "masks": self.masks.fingerprint,
            "channels": self.channels,
            "contrast": asdict(self.contrast),
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


class LabelFirstDomainRandomization(DomainRandomization):
    """The same on label maps of a generator that makes these alone, all on one grid.

    See :class:`~synthaug.generators.protocol.LabelFirstGenerator` and
    :class:`~synthaug.generators.protocol.ImageForLabelGenerator`.

    Args:
        masks: makes the label maps.
        channels: names of the image channels; None: those of ``masks``.
        contrast: ranges that images are drawn from.
    """

    masks: LabelFirstGenerator

    @property
    def background(self) -> tuple[float, ...]:
        """Intensity of each channel outside all labels."""
        return (0.0,) * len(self.channels)

    @property
    def computed_with(self) -> dict[str, Any]:
        """Versions of libraries, for the provenance, and what the label maps were computed with."""
        versions = {"versions": library_versions()}
        return {**versions, **getattr(self.masks, "computed_with", {})}

    def sample_labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[np.ndarray]:
        """Label maps of the pairs; see :class:`~synthaug.generators.protocol.LabelFirstGenerator`."""
        started = time.perf_counter()
        labels = self.masks.sample_labels(conditions, seeds)
        seconds = (time.perf_counter() - started) / max(len(labels), 1)
        keys = [(one.key(), seed) for one, seed in zip(conditions, seeds, strict=True)]
        self._label_seconds = dict.fromkeys(keys, seconds)
        return labels

    def generate_images(self, labels: Sequence[np.ndarray], seeds: Sequence[int]) -> list[np.ndarray]:
        """Images for given label maps; see :class:`~synthaug.generators.protocol.ImageForLabelGenerator`."""
        for label in labels:
            if label.shape != self.shape:
                raise GeometryError(
                    f"label map of shape {label.shape}; {self.name} takes {self.shape}: place it on that grid"
                )
            replace(self.scheme, ignore_id=None).check(label, "label map")
        spacing_mm = np.linalg.norm(self.affine[:3, :3], axis=0)
        return [self._image(label, spacing_mm, seed) for label, seed in zip(labels, seeds, strict=True)]

    def _mask(self, condition: Condition, seed: int) -> LabeledVolume:
        started = time.perf_counter()
        (label,) = self.masks.sample_labels([condition], [seed])
        # a generator keeps its last label maps: made again they cost nothing
        made_in = max(time.perf_counter() - started, self._label_seconds.get((condition.key(), seed), 0.0))
        seconds = {"seconds": round(made_in, 3)}
        blank = np.zeros((len(self.channels), *label.shape), np.float32)
        return LabeledVolume(blank, label.astype(np.int16), self.affine.copy(), self.scheme, self.channels, seconds)


def _load_masks(name: str, options: Mapping[str, Any], device: str, *, with_cases: bool) -> LabelFirstGenerator:
    if name in WITHOUT_WEIGHTS:
        raise ConfigurationError(
            f"{NAME}: masks={name} has no label maps of its own; leave masks out for those of real cases, or name a "
            "folder of weights"
        )
    if with_cases:
        raise ConfigurationError(f"{NAME}: both cases and masks={name}; label maps come from one of them: give one")
    masks = load_generator(name, device=device, **options)
    if not isinstance(masks, LabelFirstGenerator):
        raise ConfigurationError(f"{NAME}: masks={name} makes no label maps alone; take one with weights")
    return masks
