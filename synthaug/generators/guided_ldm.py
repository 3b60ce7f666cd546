"""Guided synthesis with two latent diffusion models (Ruschke et al., arXiv 2411.01351).

A mask diffusion model makes a coarse label map with the volumes asked for, by classifier-free guidance; two small ones
add the detail, level by level, and a SPADE image diffusion model makes the image that belongs to it. All follow a
rectified flow in the latent space of an autoencoder.
"""

from __future__ import annotations

import hashlib
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError, GeometryError
from synthaug.files.compact_weights import expand
from synthaug.generators.guided_ldm_checks import NetworkSizes, check_sizes
from synthaug.generators.guided_ldm_config import CONFIG_NAME, GuidedLDMConfig, refuse_no_volume
from synthaug.generators.image_stage import EVERYWHERE, ImageStage
from synthaug.generators.mask_stage import MaskStage
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.networks.image_diffusion import ImageDiffusionUNet
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import BLOCK, DETAIL_LEVELS
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.mask_diffusion import MaskDiffusionUNet
from synthaug.networks.precision import choose_device, choose_dtype
from synthaug.volumes import LabeledVolume

IMAGE_STREAM = 0x5EED
"""Keeps the noise of an image apart from that of its label map, so that either can be made without the other."""


@dataclass(frozen=True)
class GuidedLDMNetworks:
    """The networks, each kept in a file of its own under the name that it has here."""

    label_autoencoder: LabelAutoencoder
    mask_diffusion: MaskDiffusionUNet
    mask_detail_0: MaskDetailUNet
    mask_detail_1: MaskDetailUNet
    image_autoencoder: ImageAutoencoder
    image_diffusion: ImageDiffusionUNet

    @classmethod
    def build(cls, config: GuidedLDMConfig) -> GuidedLDMNetworks:
        """The networks of a configuration, with fresh weights."""
        num_classes = config.scheme.num_classes
        label_autoencoder = LabelAutoencoder(num_classes, **config.label_autoencoder)
        latent_channels = label_autoencoder.latent_channels
        coarsest = [size // (label_autoencoder.downsampling * BLOCK**DETAIL_LEVELS) for size in config.grid.shape]
        image_autoencoder = ImageAutoencoder(len(config.channels), num_classes, **config.image_autoencoder)
        return cls(
            label_autoencoder,
            MaskDiffusionUNet(latent_channels, len(config.limits_ml), coarsest, **config.mask_diffusion),
            MaskDetailUNet(latent_channels, **config.mask_detail),
            MaskDetailUNet(latent_channels, **config.mask_detail),
            image_autoencoder,
            ImageDiffusionUNet(
                image_autoencoder.latent_channels, num_classes, image_autoencoder.downsampling, **config.image_diffusion
            ),
        )

    def sizes(self) -> NetworkSizes:
        """What the configuration's other values have to fit."""
        label, image = self.label_autoencoder, self.image_autoencoder
        coarsest = label.downsampling * BLOCK**DETAIL_LEVELS
        return NetworkSizes(
            mask_latent_channels=label.latent_channels,
            image_latent_channels=image.latent_channels,
            shape_multiple=math.lcm(
                coarsest * 2 ** (self.mask_diffusion.levels - 1),
                coarsest * 2 ** (self.mask_detail_0.levels - 1),
                image.downsampling * 2 ** (self.image_diffusion.levels - 1),
            ),
        )

    def by_name(self) -> dict[str, nn.Module]:
        """Networks by the stem of their file's name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class GuidedLDMFolder:
    """What a folder of weights holds.

    Attributes:
        config: with the sampler settings that were asked for.
        networks: with their weights, on the CPU.
        fingerprint: sha256 (hex) of weights and configuration.
    """

    config: GuidedLDMConfig
    networks: GuidedLDMNetworks
    fingerprint: str


@dataclass(frozen=True)
class _TimedLabel:
    """A label map, and the seconds that it took."""

    label: np.ndarray
    seconds: float


class GuidedLDM:
    """Generator of pairs with volumes asked for. See :class:`~synthaug.generators.protocol.PairGenerator`.

    Args:
        config: configuration of the weights.
        networks: they are moved to the device, and never trained further.
        fingerprint: sha256 (hex) of weights and configuration.
        device: where the networks run: ``auto``, ``cpu``, ``cuda:0``...
    """

    def __init__(
        self, config: GuidedLDMConfig, networks: GuidedLDMNetworks, *, fingerprint: str, device: str = "auto"
    ) -> None:
        self.config = config
        self.name = config.name
        self.scheme = config.scheme
        self.channels = config.channels
        self.shape = config.grid.shape
        self.affine = config.grid.affine
        self.bounds = config.bounds
        self.training_cases = config.training_cases
        self.required_structures = config.required_structures
        self.background = tuple(scale.background for scale in config.intensities)
        self.max_nonzero_background = float(any(self.background))
        self.fingerprint = fingerprint
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device)
        for network in networks.by_name().values():
            network.to(self.device).to(memory_format=torch.channels_last_3d).eval().requires_grad_(False)
        self._mask_stage = MaskStage(
            config,
            networks.label_autoencoder,
            networks.mask_diffusion,
            (networks.mask_detail_0, networks.mask_detail_1),
            self.device,
            self.dtype,
        )
        self._image_stage = ImageStage(
            config, networks.image_autoencoder, networks.image_diffusion, self.device, self.dtype
        )
        self._last_labels: dict[tuple[str, int], _TimedLabel] = {}

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto", **sampling: Any) -> GuidedLDM:
        """Read a folder that :mod:`synthaug.fitting` wrote, to sample from it.

        Args:
            folder: holds ``config.json`` and one safetensors file for each network.
            device: where the networks run.
            **sampling: fields of :class:`~synthaug.generators.sampling_config.SamplingConfig` to change.

        Raises:
            ConfigurationError: a file is missing, damaged, or does not fit the configuration.
        """
        read = cls.read(folder, **sampling)
        return cls(read.config, read.networks, fingerprint=read.fingerprint, device=device)

    @staticmethod
    def read(folder: Path, **sampling: Any) -> GuidedLDMFolder:
        """Read the same without moving anything to a device; arguments and errors are those of :meth:`load`."""
        config = GuidedLDMConfig.read(folder).with_sampling(**sampling)
        try:
            networks = GuidedLDMNetworks.build(config)
        except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigurationError(
                f"{folder / CONFIG_NAME}: no networks of these sizes ({reason}); fit or fetch the generator again"
            ) from error
        check_sizes(config, networks.sizes(), str(folder / CONFIG_NAME))
        digest = hashlib.sha256((folder / CONFIG_NAME).read_bytes())
        digest.update(repr(config.sampling).encode())
        for name, network in networks.by_name().items():
            path = folder / f"{name}.safetensors"
            try:
                content = path.read_bytes()  # read once: the fingerprint is that of the weights in use
                network.load_state_dict(expand(load(content)))
                digest.update(content)
            except FileNotFoundError as error:
                raise ConfigurationError(f"{path} is missing; fit or fetch the generator again") from error
            except OSError as error:
                raise ConfigurationError(
                    f"{path} cannot be read ({error.strerror or error}); it must be a safetensors file: check its "
                    "permissions, or fetch the generator again"
                ) from error
            except (SafetensorError, RuntimeError) as error:
                reason = str(error).splitlines()[0]
                raise ConfigurationError(
                    f"{path} is damaged or of another network ({reason}); fit or fetch it again"
                ) from error
        return GuidedLDMFolder(config, networks, digest.hexdigest())

    @torch.inference_mode()
    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        """Make one pair for each condition and seed; see :class:`~synthaug.generators.protocol.PairGenerator`."""
        return self._generate(conditions, seeds, EVERYWHERE)

    @torch.inference_mode()
    def generate_patch(self, condition: Condition, seed: int, patch: tuple[slice, slice, slice]) -> LabeledVolume:
        """A patch of the pair that :meth:`generate` makes, its image decoded there alone.

        Args:
            condition: what is asked for.
            seed: of the pair.
            patch: voxels along x, y and z, without steps.

        Raises:
            ConfigurationError: an empty patch, or one with steps.
            BoundsError: as :meth:`generate`.
        """
        extents = [range(*one.indices(size)) for one, size in zip(patch, self.shape, strict=True)]
        if any(len(extent) == 0 or extent.step != 1 for extent in extents):
            raise ConfigurationError(
                f"patch {patch} of a pair of {'x'.join(map(str, self.shape))} voxels is empty or has steps; give the "
                "first voxel and the one after the last along each axis"
            )
        (pair,) = self._generate([condition], [seed], patch)
        return pair

    @torch.inference_mode()
    def reconstruct_label(self, label: torch.Tensor) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` after a round trip through the label-map autoencoder, which caps all anatomy."""
        return self._mask_stage.reconstruct(label)

    @torch.inference_mode()
    def renew_image(
        self, image: torch.Tensor, label: torch.Tensor, region: torch.Tensor, *, strength: float, seed: int
    ) -> np.ndarray:
        """Image ``(C, X, Y, Z)`` in normalised units on the generator's grid, made anew in a region ``(X, Y, Z)``.

        See :meth:`~synthaug.generators.image_stage.ImageStage.renew`.
        """
        return self._image_stage.renew(image, label, region, strength, torch.Generator().manual_seed(seed))

    @torch.inference_mode()
    def sample_labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[np.ndarray]:
        """Label maps ``(X, Y, Z)`` of the pairs that :meth:`generate` makes for these conditions and seeds, no images.

        The last ones are kept: quality control looks at label maps first, and only those that pass get an image.

        Raises:
            BoundsError: a target outside ``bounds``, unless its condition asks for extrapolation; one that is not
                above 0.
        """
        return [one.label.copy() for one in self._timed_labels(conditions, seeds)]

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
        return self._images(labels, seeds, EVERYWHERE)

    @property
    def computed_with(self) -> dict[str, Any]:
        """Device, floating-point type and versions of libraries, for the provenance."""
        return {
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }

    def _images(
        self, labels: Sequence[np.ndarray], seeds: Sequence[int], patch: tuple[slice, slice, slice]
    ) -> list[np.ndarray]:
        return self._image_stage.sample(
            [torch.from_numpy(np.ascontiguousarray(label)) for label in labels],
            [torch.Generator().manual_seed(seed ^ IMAGE_STREAM) for seed in seeds],
            patch,
        )

    def _timed_labels(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[_TimedLabel]:
        for condition in conditions:
            self._check(condition)
        asked = {(condition.key(), seed): condition for condition, seed in zip(conditions, seeds, strict=True)}
        missing = {key: condition for key, condition in asked.items() if key not in self._last_labels}
        if missing:
            started = time.perf_counter()
            labels = self._mask_stage.sample(
                [condition.targets_ml for condition in missing.values()],
                [torch.Generator().manual_seed(seed) for _, seed in missing],
            )
            seconds = (time.perf_counter() - started) / len(labels)
            made = {
                key: _TimedLabel(label.numpy().astype(np.int16), seconds)
                for key, label in zip(missing, labels, strict=True)
            }
            self._last_labels = {key: self._last_labels.get(key) or made[key] for key in asked}
        return [self._last_labels[key] for key in zip([one.key() for one in conditions], seeds, strict=True)]

    def _check(self, condition: Condition) -> None:
        self.bounds.check(condition)
        for name, volume_ml in condition.targets_ml.items():
            refuse_no_volume(name, volume_ml)

    def _generate(
        self, conditions: Sequence[Condition], seeds: Sequence[int], patch: tuple[slice, slice, slice]
    ) -> list[LabeledVolume]:
        timed = self._timed_labels(conditions, seeds)
        started = time.perf_counter()
        images = self._images([one.label for one in timed], seeds, patch)
        seconds = (time.perf_counter() - started) / len(images)
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [one.indices(size)[0] for one, size in zip(patch, self.shape, strict=True)]
        return [
            self._pair(image, one.label[patch].copy(), affine.copy(), condition, seed, one.seconds, seconds)
            for image, one, condition, seed in zip(images, timed, conditions, seeds, strict=True)
        ]

    def _pair(
        self,
        image: np.ndarray,
        label: np.ndarray,
        affine: np.ndarray,
        condition: Condition,
        seed: int,
        label_seconds: float,
        image_seconds: float,
    ) -> LabeledVolume:
        pair = LabeledVolume(
            image=image, label=label, affine=affine, scheme=self.scheme, channels=self.channels, provenance={}
        )
        pair.provenance.update(
            generator=self.name,
            generator_sha256=self.fingerprint,
            seed=seed,
            requested_ml=dict(condition.targets_ml),
            realised_ml=pair.volumes_ml(),
            seconds=round(label_seconds + image_seconds, 3),
            seconds_label=round(label_seconds, 3),
            **self.computed_with,
        )
        return pair
