"""A region of a real image made anew by the image stage of a guided LDM, the rest left as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from synthaug.errors import AmbiguousMappingError, ConfigurationError
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.labels import LabelScheme, propose_mapping
from synthaug.volumes import CaseRecord, LabeledVolume
from synthaug.volumes.grid import Grid, box_centre_mm, place_on_grid

BLEND_MM = 3.0
"""Width of the zone at the region's edge in which the new image takes over."""


class RegionRenewal:
    """Partial noising of an image's latent inside a region, and denoising under the label map.

    Args:
        generator: whose image stage is used.
        scheme: label scheme of the pairs.
        channels: names of their image channels.
        strength: noise fraction to start from, above 0 and at most 1: how little of the old image is kept.

    Raises:
        ConfigurationError: the pairs' channels are not those of the generator, or its scheme has structures that
            theirs lacks.
    """

    def __init__(self, generator: GuidedLDM, scheme: LabelScheme, channels: Sequence[str], strength: float) -> None:
        if len(channels) != len(generator.channels):
            raise ConfigurationError(
                f"counterfactual: strength {strength:g} needs images with the channels of {generator.name}, "
                f"{', '.join(generator.channels)}; these have {', '.join(channels)}: choose strength 0, the warp alone"
            )
        try:
            self._mapping = propose_mapping(scheme, generator.scheme)
        except AmbiguousMappingError as error:
            raise ConfigurationError(
                f"counterfactual: strength {strength:g} needs label maps from which those of {generator.name} follow "
                f"({error}); choose strength 0, the warp alone"
            ) from error
        self._generator = generator
        self._strength = strength

    @classmethod
    def load(
        cls, name: str, scheme: LabelScheme, channels: Sequence[str], strength: float, *, device: str = "auto"
    ) -> RegionRenewal:
        """With the generator of a shipped name or a folder.

        Raises:
            ConfigurationError: no such generator, or one without a label-conditioned image stage.
        """
        from synthaug.generators.registry import load_generator

        generator = load_generator(name, device=device)
        if not isinstance(generator, GuidedLDM):
            raise ConfigurationError(f"counterfactual: painter {name!r} is no guided LDM; name one that is")
        return cls(generator, scheme, channels, strength)

    @property
    def training_cases(self) -> tuple[CaseRecord, ...]:
        """What the generator was fitted on."""
        return self._generator.training_cases

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the generator."""
        return self._generator.fingerprint

    @property
    def origin(self) -> str | None:
        """``org/name@commit`` of a generator of the Hub."""
        return self._generator.origin

    @property
    def computed_with(self) -> dict[str, Any]:
        """Device, floating-point type and processor, for the provenance."""
        return {key: value for key, value in self._generator.computed_with.items() if key != "versions"}

    def renew(self, pair: LabeledVolume, region: np.ndarray, *, seed: int) -> np.ndarray:
        """Image ``(C, X, Y, Z)`` of a pair, made anew inside a region ``(X, Y, Z)``; outside it not a bit changes.

        Args:
            pair: image and label map, on any grid.
            region: True where the image may change.
            seed: the same seed makes the same image.
        """
        region = region & (pair.label > 0)
        if not region.any():
            return pair.image
        grid = self._generator.config.grid
        affine = grid.affine_centred_at(box_centre_mm(pair.label > 0, pair.affine))
        label = place_on_grid(self._mapping.apply(pair.label, "label map"), pair.affine, grid, affine, is_label=True)
        scales = [
            own if own.absolute else IntensityScale.of(one[pair.label > 0], own.background)
            for own, one in zip(self._generator.config.intensities, pair.image, strict=True)
        ]
        scaled = [scale.normalise(one) for scale, one in zip(scales, pair.image, strict=True)]
        image = np.stack([place_on_grid(one, pair.affine, grid, affine, is_label=False) for one in scaled])
        inside = place_on_grid(region.astype(np.int16), pair.affine, grid, affine, is_label=True) > 0
        renewed = self._generator.renew_image(
            torch.from_numpy(image * (label > 0)),
            torch.from_numpy(label),
            torch.from_numpy(inside),
            strength=self._strength,
            seed=seed,
        )
        own = Grid(pair.label.shape, pair.spacing_mm)
        back = np.stack([place_on_grid(one, affine, own, pair.affine, is_label=False) for one in renewed])
        reached = place_on_grid(np.ones(grid.shape, np.int16), affine, own, pair.affine, is_label=True) > 0
        depth = ndimage.distance_transform_edt(region & reached, sampling=pair.spacing_mm)
        share = np.clip(depth / BLEND_MM, 0, 1).astype(np.float32)
        new = np.stack([scale.restore(one, region) for scale, one in zip(scales, back, strict=True)])
        mixed = (1 - share) * pair.image + share * new
        return np.where(share > 0, mixed, pair.image).astype(np.float32)
