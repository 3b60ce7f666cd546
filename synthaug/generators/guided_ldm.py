"""Guided synthesis with two latent diffusion models (Ruschke et al., arXiv 2411.01351).

A mask diffusion model makes a coarse label map with the volumes asked for, by classifier-free guidance; two more add
the detail, level by level, and a SPADE image diffusion model makes the image that belongs to it. All follow a
rectified flow in the latent space of an autoencoder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.generators.config_file import CONFIG_NAME
from synthaug.generators.guided_ldm_checks import NetworkSizes, check_sizes
from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.image_stage import ImageStage
from synthaug.generators.kept_labels import MadeLabel
from synthaug.generators.mask_stage import MaskStage
from synthaug.generators.weight_files import build_networks, read_weights
from synthaug.generators.weights_generator import IMAGE_STREAM, TwoStageGenerator
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.networks.image_diffusion import ImageDiffusionUNet
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.latent_pyramid import BLOCK, DETAIL_LEVELS
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.mask_diffusion import MaskDiffusionUNet
from synthaug.volumes import LabeledVolume


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
            MaskDetailUNet(latent_channels, **config.mask_detail_0),
            MaskDetailUNet(latent_channels, **config.mask_detail_1),
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
                coarsest // BLOCK * 2 ** (self.mask_detail_1.levels - 1),
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


class GuidedLDM(TwoStageGenerator):
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
        super().__init__(config, list(networks.by_name().values()), fingerprint=fingerprint, device=device)
        self.config = config
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
        networks = build_networks(lambda: GuidedLDMNetworks.build(config), str(folder / CONFIG_NAME))
        check_sizes(config, networks.sizes(), str(folder / CONFIG_NAME))
        return GuidedLDMFolder(config, networks, read_weights(folder, networks.by_name(), config.sampling))

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
    def reconstruct_label(self, label: torch.Tensor, *, redrawn: int = 0, seed: int = 0) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` after a round trip through the label-map autoencoder, which caps all anatomy.

        Args:
            label: ``(X, Y, Z)``.
            redrawn: so many of the finest levels of its latent, 0 to 2, are sampled anew on those that are left: tells
                what each level costs.
            seed: for what is sampled.

        Raises:
            ConfigurationError: a latent has fewer levels that can be sampled.
        """
        return self._mask_stage.reconstruct(label, redrawn=redrawn, generator=torch.Generator().manual_seed(seed))

    @torch.inference_mode()
    def renew_image(
        self, image: torch.Tensor, label: torch.Tensor, region: torch.Tensor, *, strength: float, seed: int
    ) -> np.ndarray:
        """Image ``(C, X, Y, Z)`` in normalised units on the generator's grid, made anew in a region ``(X, Y, Z)``.

        See :meth:`~synthaug.generators.image_stage.ImageStage.renew`.
        """
        return self._image_stage.renew(image, label, region, strength, torch.Generator().manual_seed(seed))

    def _make_labels(self, targets_ml: Sequence[Mapping[str, float]], seeds: Sequence[int]) -> list[MadeLabel]:
        labels = self._mask_stage.sample(targets_ml, [torch.Generator().manual_seed(seed) for seed in seeds])
        return [MadeLabel(label.numpy().astype(np.int16)) for label in labels]

    def _make_images(
        self, labels: Sequence[np.ndarray], seeds: Sequence[int], patch: tuple[slice, slice, slice]
    ) -> list[np.ndarray]:
        return self._image_stage.sample(
            [torch.from_numpy(np.ascontiguousarray(label)) for label in labels],
            [torch.Generator().manual_seed(seed ^ IMAGE_STREAM) for seed in seeds],
            patch,
        )
