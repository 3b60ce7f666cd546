"""What `medgen3d`, `vid2vid` and `ddpm2d` share: label maps grown slice by slice, and folders of weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from synthaug.errors import ConfigurationError
from synthaug.generators.config_file import CONFIG_NAME
from synthaug.generators.image_sequence_stage import ImageSequenceStage
from synthaug.generators.kept_labels import MadeLabel
from synthaug.generators.mask_sequence_stage import MaskSequenceStage
from synthaug.generators.sequence_config import SequenceConfig
from synthaug.generators.slice_refiner import SliceRefiner
from synthaug.generators.slice_size import working_shape
from synthaug.generators.weight_files import build_networks, read_weights
from synthaug.generators.weights_generator import IMAGE_STREAM, TwoStageGenerator
from synthaug.networks.image_sequence import ImageSequenceGenerator
from synthaug.networks.mask_sequence import MaskSequenceUNet
from synthaug.networks.slice_diffusion import SliceDiffusionUNet
from synthaug.volumes.views import VIEWS

System = TypeVar("System", bound="SequenceGenerator")


@dataclass(frozen=True)
class SequenceNetworks:
    """The networks of a system, each kept in a file of its own.

    Attributes:
        mask_sequence: makes label slices.
        image_sequence: makes image slices in order; None where the system has none.
        slice_diffusion: by view; empty where the system has none.
    """

    mask_sequence: MaskSequenceUNet
    image_sequence: ImageSequenceGenerator | None
    slice_diffusion: Mapping[str, SliceDiffusionUNet]

    @classmethod
    def build(cls, config: SequenceConfig) -> SequenceNetworks:
        """The networks of a configuration, with fresh weights.

        Raises:
            ValueError: sizes that do not fit each other.
        """
        classes, channels, sections = config.scheme.num_classes, len(config.channels), config.sections
        shape = working_shape(config.grid.shape)
        mask_sequence = MaskSequenceUNet(classes, len(config.limits_ml), shape, **config.mask_sequence)
        if config.sampling.given_slices >= mask_sequence.slices:
            raise ValueError(
                f"given_slices is {config.sampling.given_slices} of the {mask_sequence.slices} slices of a "
                "subsequence, so that none is made: choose fewer"
            )
        image_sequence = None
        if "image_sequence" in sections:
            image_sequence = ImageSequenceGenerator(channels, classes, **config.image_sequence)
        views = tuple(VIEWS) if "slice_diffusion" in sections else ()
        slices = {view: SliceDiffusionUNet(channels, classes, **config.slice_diffusion) for view in views}
        return cls(mask_sequence, image_sequence, slices)

    def by_name(self) -> dict[str, nn.Module]:
        """Networks by the stem of their file's name."""
        found: dict[str, nn.Module] = {"mask_sequence": self.mask_sequence}
        if self.image_sequence is not None:
            found["image_sequence"] = self.image_sequence
        return {**found, **{f"slice_diffusion_{view}": one for view, one in self.slice_diffusion.items()}}


class SequenceGenerator(TwoStageGenerator):
    """Generator of pairs whose label maps are grown slice by slice.

    See :class:`~synthaug.generators.protocol.PairGenerator`.

    Args:
        config: configuration of the weights.
        networks: they are moved to the device, and never trained further.
        fingerprint: sha256 (hex) of weights and configuration.
        device: where the networks run: ``auto``, ``cpu``, ``cuda:0``...
    """

    system: ClassVar[str]

    def __init__(
        self, config: SequenceConfig, networks: SequenceNetworks, *, fingerprint: str, device: str = "auto"
    ) -> None:
        super().__init__(config, list(networks.by_name().values()), fingerprint=fingerprint, device=device)
        self.config = config
        self._masks = MaskSequenceStage(config, networks.mask_sequence, self.device, self.dtype)
        self._slices = SliceRefiner(networks.slice_diffusion, self.device, self.dtype)
        sequence = networks.image_sequence
        self._sequence = None if sequence is None else ImageSequenceStage(sequence, self.device, self.dtype)

    @classmethod
    def load(cls: type[System], folder: Path, *, device: str = "auto", **sampling: Any) -> System:
        """Read a folder that :mod:`synthaug.fitting` wrote, to sample from it.

        Args:
            folder: holds ``config.json`` and one safetensors file for each network.
            device: where the networks run.
            **sampling: fields of :class:`~synthaug.generators.sequence_config.SequenceSampling` to change.

        Raises:
            ConfigurationError: a file is missing, damaged, or does not fit the configuration.
        """
        config = SequenceConfig.read(folder).with_sampling(**sampling)
        if config.system != cls.system:
            raise ConfigurationError(
                f"{folder / CONFIG_NAME}: is of the system {config.system!r}, not {cls.system!r}; load it with "
                "load_generator"
            )
        networks = build_networks(lambda: SequenceNetworks.build(config), str(folder / CONFIG_NAME))
        fingerprint = read_weights(folder, networks.by_name(), config.sampling)
        return cls(config, networks, fingerprint=fingerprint, device=device)

    @abstractmethod
    def _normalised_images(
        self, labels: Sequence[torch.Tensor], generators: Sequence[torch.Generator]
    ) -> list[torch.Tensor]:
        """Images ``(C, X, Y, Z)`` in normalised units for label maps ``(X, Y, Z)``, on the CPU."""

    def _make_labels(self, targets_ml: Sequence[Mapping[str, float]], seeds: Sequence[int]) -> list[MadeLabel]:
        grown = self._masks.sample(targets_ml, [torch.Generator().manual_seed(int(seed)) for seed in seeds])
        return [MadeLabel(one.label.numpy().astype(np.int16), {"joins": list(one.joins)}) for one in grown]

    def _make_images(
        self, labels: Sequence[np.ndarray], seeds: Sequence[int], patch: tuple[slice, slice, slice]
    ) -> list[np.ndarray]:
        given = [torch.from_numpy(np.ascontiguousarray(label)) for label in labels]
        generators = [torch.Generator().manual_seed(int(seed) ^ IMAGE_STREAM) for seed in seeds]
        images = []
        for label, made in zip(given, self._normalised_images(given, generators), strict=True):
            shown, tissue = self._with_offsets(made, label).numpy()[(slice(None), *patch)], label.numpy()[patch] > 0
            scaled = zip(self.config.intensities, shown, strict=True)
            images.append(np.stack([scale.restore(channel, tissue) for scale, channel in scaled]))
        return images

    def _sequence_images(self, labels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Images ``(C, X, Y, Z)`` of the image sequence generator."""
        assert self._sequence is not None
        return self._sequence.sample(labels)

    def _with_offsets(self, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if not self.config.label_offsets:
            return image
        return image + functional.embedding(label.long(), torch.tensor(self.config.label_offsets)).movedim(-1, 0)
