"""Baseline of MedGen3D (arXiv 2304.04106, section 4.2): 3D-alpha-WGAN (Kwon et al. 2019), extended to pairs.

A code becomes an image and its label map at once. The paper's makes images alone; here labels are further channels, and
the generator is told volumes in mL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from synthaug.configuration import load_config
from synthaug.configuration.limits import allowed
from synthaug.generators.config_checks import check_format, check_keys, check_values, told_with_file
from synthaug.generators.config_file import CONFIG_NAME
from synthaug.generators.generator_config import GeneratorConfig, read_common
from synthaug.generators.kept_labels import MadeLabel
from synthaug.generators.volume_decision import decide_labels, largest_component
from synthaug.generators.weight_files import build_networks, read_weights
from synthaug.generators.weights_generator import WeightsGenerator
from synthaug.networks.alpha_wgan import AlphaWGAN
from synthaug.networks.condition_encoder import condition_vector
from synthaug.networks.precision import autocast

FORMAT_VERSION = 1
SYSTEM = "alpha-wgan"


@dataclass(frozen=True)
class AlphaWGANSampling:
    """How pairs are sampled.

    Attributes:
        candidates: codes that are tried for a pair; the one whose volumes come nearest to those asked for is taken.
        volume_shift: up to so much is added to the logits of a structure when its label is decided, which moves its
            border towards the volume asked for; 0 decides for the most probable label.
    """

    candidates: int = field(default=4, metadata=allowed(low=1, high=1000))
    volume_shift: float = field(default=4.0, metadata=allowed(low=0, high=20))


@dataclass(frozen=True, kw_only=True)
class AlphaWGANConfig(GeneratorConfig):
    """Everything but the weights.

    Attributes:
        alpha_wgan: arguments of :class:`~synthaug.networks.alpha_wgan.AlphaWGAN`.
        sampling: default sampler settings.
    """

    alpha_wgan: Mapping[str, Any] = field(default_factory=dict)
    sampling: AlphaWGANSampling = field(default_factory=AlphaWGANSampling)

    def build(self) -> AlphaWGAN:
        """The networks, with fresh weights."""
        classes, channels, shape = self.scheme.num_classes, len(self.channels), self.grid.shape
        return AlphaWGAN(classes, channels, shape, num_controls=len(self.limits_ml), **self.alpha_wgan)

    def with_sampling(self, **options: Any) -> AlphaWGANConfig:
        """Copy with other sampler settings; None leaves a setting as it is.

        Raises:
            ConfigurationError: an unknown option, or a value that is not allowed.
        """
        given = {key: value for key, value in options.items() if value is not None}
        where = f"options of generator {self.name!r} ({SYSTEM})"
        sampling = load_config(AlphaWGANSampling, {**asdict(self.sampling), **given}, where=where)
        return replace(self, sampling=sampling)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "format_version": FORMAT_VERSION,
            "system": SYSTEM,
            **self.common_dict(),
            "alpha_wgan": self.alpha_wgan,
            "null_condition": "value 0, presence 0 for every control",
            "weights": "exponential moving average",
            "sampling": asdict(self.sampling),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> AlphaWGANConfig:
        """Read the JSON form; see :meth:`GeneratorConfig.from_dict`."""
        check_format(content, (SYSTEM,), FORMAT_VERSION, where)
        with told_with_file(where, SYSTEM):
            check_keys(content, ("alpha_wgan",), ("system", "null_condition", "weights"))
            sampling = load_config(AlphaWGANSampling, content["sampling"], where="sampling")
            config = cls(**read_common(content), alpha_wgan=content["alpha_wgan"], sampling=sampling)
            check_values(config)
            return config


class AlphaWGANGenerator(WeightsGenerator):
    """Generator of pairs by 3D-alpha-WGAN. See :class:`~synthaug.generators.protocol.PairGenerator`.

    Label map and image come of one code: it makes no image for a label map that it is given.

    Args:
        config: configuration of the weights.
        network: what generates; its encoder and discriminators are of no use here.
        fingerprint: sha256 (hex) of weights and configuration.
        device: where the network runs: ``auto``, ``cpu``, ``cuda:0``...
    """

    def __init__(self, config: AlphaWGANConfig, network: AlphaWGAN, *, fingerprint: str, device: str = "auto") -> None:
        super().__init__(config, [network.generator], fingerprint=fingerprint, device=device)
        self.config = config
        self._network = network

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto", **sampling: Any) -> AlphaWGANGenerator:
        """Read a folder that :mod:`synthaug.fitting` wrote, to sample from it.

        Args:
            folder: holds ``config.json`` and ``generator.safetensors``.
            device: where the network runs.
            **sampling: fields of :class:`AlphaWGANSampling` to change.

        Raises:
            ConfigurationError: a file is missing, damaged, or does not fit the configuration.
        """
        config = AlphaWGANConfig.read(folder).with_sampling(**sampling)
        network = build_networks(config.build, str(folder / CONFIG_NAME))
        fingerprint = read_weights(folder, generating_networks(network), config.sampling)
        return cls(config, network, fingerprint=fingerprint, device=device)

    def _make_labels(self, targets_ml: Sequence[Mapping[str, float]], seeds: Sequence[int]) -> list[MadeLabel]:
        return [
            self._nearest(targets, torch.Generator().manual_seed(seed))
            for targets, seed in zip(targets_ml, seeds, strict=True)
        ]

    def _images_for(
        self, made: Sequence[MadeLabel], seeds: Sequence[int], patch: tuple[slice, slice, slice]
    ) -> list[np.ndarray]:
        images = []
        for one in made:
            assert one.image is not None
            tissue = one.label[patch] > 0
            scaled = zip(self.config.intensities, one.image[(slice(None), *patch)], strict=True)
            images.append(np.stack([scale.restore(channel, tissue) for scale, channel in scaled]))
        return images

    def _nearest(self, targets_ml: Mapping[str, float], generator: torch.Generator) -> MadeLabel:
        """Of the candidates, the label map with its image whose volumes come nearest to those asked for."""
        limits_ml = self.config.widened_limits(targets_ml)
        condition = condition_vector(targets_ml, tuple(limits_ml), limits_ml)[None].to(self.device)
        best, least = None, np.inf
        for _ in range(self.config.sampling.candidates if targets_ml else 1):
            code = torch.randn(1, self._network.code_size, generator=generator).to(self.device)
            with autocast(self.device, self.dtype):
                logits, image = self._network.sample(code, condition)
            label = self._decide(logits[0].float().cpu(), targets_ml)
            error = self._error(label, targets_ml)
            if best is None or error < least:
                best, least = (label, image[0].float().cpu()), error
        assert best is not None
        label, shown = best
        return MadeLabel(label.numpy().astype(np.int16), image=(shown * (label > 0)).numpy())

    def _decide(self, logits: torch.Tensor, targets_ml: Mapping[str, float]) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` of logits ``(K, X, Y, Z)``, borders moved towards volumes asked for."""
        label = decide_labels(
            logits, self.config.voxels_of(targets_ml), largest_shift=self.config.sampling.volume_shift
        )
        return largest_component(label.to(torch.uint8))

    def _error(self, label: torch.Tensor, targets_ml: Mapping[str, float]) -> float:
        """Largest error of a label map's volumes, as the logarithm of their ratio."""
        made_ml = self.config.volumes_ml(torch.bincount(label.flatten()), targets_ml)
        errors = [abs(np.log(made_ml[name] / target_ml)) for name, target_ml in targets_ml.items()]
        return float(max(errors, default=0.0))


def generating_networks(network: AlphaWGAN) -> dict[str, nn.Module]:
    """What a folder keeps of the networks, by the stem of its file's name."""
    return {"generator": network.generator}
