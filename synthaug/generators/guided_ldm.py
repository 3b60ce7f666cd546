"""Guided synthesis with two latent diffusion models (Ruschke et al., arXiv 2411.01351).

A mask diffusion model makes a label map with the volumes asked for, by classifier-free guidance; a SPADE image
diffusion model makes the image that belongs to it. Both follow a rectified flow in the latent space of a KL
autoencoder.
"""

from __future__ import annotations

import hashlib
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from scipy import ndimage
from torch import nn

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.generators.guided_ldm_checks import NetworkSizes, check_sizes
from synthaug.generators.guided_ldm_config import CONFIG_NAME, GuidedLDMConfig, LatentScale, refuse_no_volume
from synthaug.generators.volume_search import VolumeSearch
from synthaug.networks.condition_encoder import condition_vector
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.networks.image_diffusion import ImageDiffusionUNet
from synthaug.networks.label_autoencoder import LabelAutoencoder
from synthaug.networks.mask_diffusion import MaskDiffusionUNet
from synthaug.networks.precision import autocast, choose_device, choose_dtype
from synthaug.networks.rectified_flow import TIME_SCALE, integrate_flow
from synthaug.volumes import LabeledVolume

IMAGE_STREAM = 0x5EED
"""Keeps the noise of an image apart from that of its label map, so that either can be made without the other."""


@dataclass(frozen=True)
class GuidedLDMNetworks:
    """The four networks, each kept in a file of its own under the name that it has here."""

    label_autoencoder: LabelAutoencoder
    mask_diffusion: MaskDiffusionUNet
    image_autoencoder: ImageAutoencoder
    image_diffusion: ImageDiffusionUNet

    @classmethod
    def build(cls, config: GuidedLDMConfig) -> GuidedLDMNetworks:
        """The networks of a configuration, with fresh weights."""
        num_classes = config.scheme.num_classes
        label_autoencoder = LabelAutoencoder(num_classes, **config.label_autoencoder)
        image_autoencoder = ImageAutoencoder(len(config.channels), num_classes, **config.image_autoencoder)
        return cls(
            label_autoencoder,
            MaskDiffusionUNet(label_autoencoder.latent_channels, len(config.limits_ml), **config.mask_diffusion),
            image_autoencoder,
            ImageDiffusionUNet(
                image_autoencoder.latent_channels, num_classes, image_autoencoder.downsampling, **config.image_diffusion
            ),
        )

    def sizes(self) -> NetworkSizes:
        """What the configuration's other values have to fit."""
        label, image = self.label_autoencoder, self.image_autoencoder
        return NetworkSizes(
            mask_latent_channels=label.latent_channels,
            image_latent_channels=image.latent_channels,
            shape_multiple=math.lcm(
                label.downsampling * self.mask_diffusion.patch * 2 ** (_levels(self.mask_diffusion.unet) - 1),
                image.downsampling * 2 ** (_levels(self.image_diffusion.unet) - 1),
            ),
        )

    def by_name(self) -> dict[str, nn.Module]:
        """Networks by the stem of their file's name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _levels(unet: nn.Module) -> int:
    return len(unet.down_blocks)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _TimedLabel:
    """A label map, what it was made for, and the seconds that it took."""

    key: tuple[str, int]
    label: np.ndarray
    seconds: float


class GuidedLDM:
    """Generator of pairs with volumes asked for. See :class:`~synthaug.generators.protocol.PairGenerator`.

    Args:
        config: configuration of the weights.
        networks: the four networks; they are moved to the device, and never trained further.
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
        self.fingerprint = fingerprint
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device)
        for network in networks.by_name().values():
            network.to(self.device).to(memory_format=torch.channels_last_3d).eval().requires_grad_(False)
        self._networks = networks
        self._last_label: _TimedLabel | None = None

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto", **sampling: Any) -> GuidedLDM:
        """Read a folder that :mod:`synthaug.fitting` wrote.

        Args:
            folder: holds ``config.json`` and one safetensors file for each network.
            device: where the networks run.
            **sampling: fields of :class:`~synthaug.generators.sampling_config.SamplingConfig` to change.

        Raises:
            ConfigurationError: a file is missing, damaged, or does not fit the configuration.
        """
        config = GuidedLDMConfig.read(folder).with_sampling(**sampling)
        try:
            networks = GuidedLDMNetworks.build(config)
        except (ValueError, TypeError, RuntimeError) as error:
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
                network.load_state_dict(load(content))
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
        return cls(config, networks, fingerprint=digest.hexdigest(), device=device)

    @torch.inference_mode()
    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        """Make one pair for each condition and seed; see :class:`~synthaug.generators.protocol.PairGenerator`."""
        for condition in conditions:
            self._check(condition)
        return [self._generate_one(condition, seed) for condition, seed in zip(conditions, seeds, strict=True)]

    @torch.inference_mode()
    def reconstruct_label(self, label: torch.Tensor) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` after a round trip through the label-map autoencoder, which caps all anatomy."""
        autoencoder = self._networks.label_autoencoder
        with autocast(self.device, self.dtype):
            mean, _ = autoencoder.encode(label.long().unsqueeze(0).to(self.device))
            return autoencoder.decode_label(mean)[0].cpu()

    @torch.inference_mode()
    def sample_label(self, condition: Condition, *, seed: int) -> np.ndarray:
        """Label map ``(X, Y, Z)`` of the pair that :meth:`generate` makes for this condition and seed, no image.

        The last one is kept: quality control looks at the label map first, and only one that passes gets an image.

        Raises:
            BoundsError: a target outside ``bounds``, unless its condition asks for extrapolation; one that is not
                above 0.
        """
        self._check(condition)
        return self._timed_label(condition, seed).label.copy()

    def _timed_label(self, condition: Condition, seed: int) -> _TimedLabel:
        key = (condition.key(), seed)
        if self._last_label is None or self._last_label.key != key:
            started = time.perf_counter()
            label = self._sample_label(condition, torch.Generator().manual_seed(seed)).cpu().numpy().astype(np.int16)
            self._last_label = _TimedLabel(key, label, time.perf_counter() - started)
        return self._last_label

    def _check(self, condition: Condition) -> None:
        self.bounds.check(condition)
        for name, volume_ml in condition.targets_ml.items():
            refuse_no_volume(name, volume_ml)

    def _generate_one(self, condition: Condition, seed: int) -> LabeledVolume:
        timed = self._timed_label(condition, seed)
        label = timed.label.copy()
        started = time.perf_counter()
        image = self._sample_image(torch.from_numpy(label).long(), torch.Generator().manual_seed(seed ^ IMAGE_STREAM))
        pair = LabeledVolume(
            image=image,
            label=label,
            affine=self.affine.copy(),
            scheme=self.scheme,
            channels=self.channels,
            provenance={},
        )
        seconds = timed.seconds + time.perf_counter() - started
        pair.provenance.update(
            generator=self.name,
            generator_sha256=self.fingerprint,
            seed=seed,
            requested_ml=dict(condition.targets_ml),
            realised_ml=pair.volumes_ml(),
            seconds=round(seconds, 3),
            seconds_label=round(timed.seconds, 3),
            device=str(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
            versions={"python": platform.python_version(), "torch": torch.__version__},
        )
        return pair

    def _sample_label(self, condition: Condition, generator: torch.Generator) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` for a condition, from one noise."""
        sampling, autoencoder = self.config.sampling, self._networks.label_autoencoder
        shape = [size // autoencoder.downsampling for size in self.shape]
        noise = torch.randn(1, autoencoder.latent_channels, *shape, generator=generator).to(self.device)

        def volumes_ml(label: torch.Tensor) -> dict[str, float]:
            counts = torch.bincount(label.flatten(), minlength=self.scheme.num_classes).tolist()
            voxels = {name: sum(counts[one] for one in self.scheme.resolve(name)) for name in condition.targets_ml}
            return {name: max(count, 1) * self.config.grid.voxel_volume_ml for name, count in voxels.items()}

        search = VolumeSearch(
            condition.targets_ml, self.config.limits_ml, sampling.volume_tolerance, sampling.volume_rounds
        )
        return search.run(self._corrected(condition), lambda asked: self._label_from(noise, asked), volumes_ml)

    def _label_from(self, noise: torch.Tensor, conditions_ml: Mapping[str, float]) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` that a noise leads to under volumes to condition on."""
        sampling, unet = self.config.sampling, self._networks.mask_diffusion
        vector = condition_vector(conditions_ml, tuple(self.config.limits_ml), self.config.limits_ml)
        both = torch.stack([vector, torch.zeros_like(vector)]).to(self.device)
        low, high = sampling.guidance_interval

        def velocity(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
            guided = sampling.guidance_scale != 1 and low <= float(fraction) <= high
            count = 2 if guided else 1
            times = (fraction * TIME_SCALE).to(self.device).expand(count)
            with autocast(self.device, self.dtype):
                outcome = unet(state.expand(count, -1, -1, -1, -1), times, both[:count]).float()
            if not guided:
                return outcome
            return outcome[1:] + sampling.guidance_scale * (outcome[:1] - outcome[1:])

        latent = integrate_flow(velocity, noise, steps=sampling.mask_steps, shift=sampling.mask_shift)
        with autocast(self.device, self.dtype):
            label = self._networks.label_autoencoder.decode_label(unscale(latent, self.config.mask_latent))[0]
        return _largest_component(label)

    def _corrected(self, condition: Condition) -> dict[str, float]:
        """Volumes to condition on, so that those asked for come out; measured for a control that is given alone."""
        targets_ml = dict(condition.targets_ml)
        if len(targets_ml) == 1:
            for control in targets_ml.keys() & self.config.corrections.keys():
                targets_ml[control] = self.config.corrections[control].condition_for(targets_ml[control], control)
        return targets_ml

    def _sample_image(self, label: torch.Tensor, generator: torch.Generator) -> np.ndarray:
        """Image ``(C, X, Y, Z)`` float32 for a label map ``(X, Y, Z)``; exactly 0 in the background."""
        sampling = self.config.sampling
        autoencoder, unet = self._networks.image_autoencoder, self._networks.image_diffusion
        label = label.unsqueeze(0).to(self.device)
        shape = [size // autoencoder.downsampling for size in self.shape]
        noise = torch.randn(1, autoencoder.latent_channels, *shape, generator=generator)
        with autocast(self.device, self.dtype):
            features = unet.label_encoder(label)

            def velocity(state: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
                return unet(state, (fraction * TIME_SCALE).to(self.device).expand(1), features).float()

            latent = integrate_flow(
                velocity, noise.to(self.device), steps=sampling.image_steps, shift=sampling.image_shift
            )
            image = autoencoder.decode(unscale(latent, self.config.image_latent), label)[0].float()
        window = torch.tensor(self.config.intensity_window, device=self.device).view(-1, 1, 1, 1)
        # Background is exactly zero, tissue is not: crops and normalisation of real data rely on both.
        tissue = (image.clamp(0.002, 1.5) * window) * (label > 0)
        return tissue.cpu().numpy()


def _largest_component(label: torch.Tensor) -> torch.Tensor:
    """Label map ``(X, Y, Z)`` without specks that hang loose around the head."""
    components, count = ndimage.label(label.cpu().numpy() > 0)
    if count <= 1:
        return label
    largest = np.bincount(components.ravel())[1:].argmax() + 1
    return label * torch.from_numpy(components == largest).to(label.device)


def scale(latent: torch.Tensor, statistics: LatentScale) -> torch.Tensor:
    """Bring a ``(B, C, x, y, z)`` latent to zero mean and unit deviation by channel."""
    return (latent - _per_channel(statistics.mean, latent)) / _per_channel(statistics.std, latent)


def unscale(latent: torch.Tensor, statistics: LatentScale) -> torch.Tensor:
    """Undo :func:`scale`."""
    return latent * _per_channel(statistics.std, latent) + _per_channel(statistics.mean, latent)


def _per_channel(values: Sequence[float], latent: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, device=latent.device, dtype=latent.dtype).view(1, -1, 1, 1, 1)
