"""Fit of `alpha-wgan`: generator, encoder and two discriminators learn in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from synthaug.errors import ConfigurationError
from synthaug.fitting.alpha_wgan import AlphaWGANBatch, VolumeDraw, alpha_wgan_turns
from synthaug.fitting.bank import Bank
from synthaug.fitting.generator_fit import MEND_SETTINGS, FitTask, GeneratorFit
from synthaug.fitting.settings import FitSettings
from synthaug.fitting.stage import StageSettings
from synthaug.generators.alpha_wgan import (
    SYSTEM,
    AlphaWGANConfig,
    AlphaWGANGenerator,
    AlphaWGANSampling,
    generating_networks,
)
from synthaug.generators.weight_files import build_networks
from synthaug.labels import LabelScheme


@dataclass(frozen=True)
class AlphaWGANSettings(FitSettings):
    """How an alpha-WGAN is fitted.

    Attributes:
        sampling: how the finished generator samples.
        network: arguments of :class:`~synthaug.networks.alpha_wgan.AlphaWGAN`.
        batch: what a step sees.
        stage: how long and how fast it learns.
    """

    sampling: AlphaWGANSampling = field(default_factory=AlphaWGANSampling)
    network: dict[str, Any] = field(default_factory=dict)
    batch: AlphaWGANBatch = field(default_factory=AlphaWGANBatch)
    stage: StageSettings = field(default_factory=lambda: StageSettings(share=1.0, betas=(0.5, 0.99), ema_decay=0.99))

    def check(self, scheme: LabelScheme, where: str) -> None:
        """See :meth:`synthaug.fitting.settings.FitSettings.check`."""
        super().check(scheme, where)
        if any(extent % 32 for extent in self.shape):
            raise ConfigurationError(f"{where}, shape: is {list(self.shape)}; multiples of 32 are needed")


def alpha_wgan_settings(planned: FitSettings, classes: int) -> AlphaWGANSettings:
    """Settings with what a plan chose; the number of classes changes none of them."""
    return AlphaWGANSettings(**vars(planned))


class AlphaWGANFit(GeneratorFit[AlphaWGANConfig, AlphaWGANSettings]):
    """See :class:`~synthaug.fitting.generator_fit.GeneratorFit`."""

    system = SYSTEM

    def __init__(self, task: FitTask[AlphaWGANSettings]) -> None:
        super().__init__(task)
        settings = task.settings
        self._seconds = {"alpha_wgan": task.training_seconds}
        self._config = AlphaWGANConfig(**task.common(), alpha_wgan=settings.network, sampling=settings.sampling)
        self._fresh = build_networks(self._config.build, "settings", MEND_SETTINGS)

    def _train(self, deadline: float | None) -> Mapping[str, nn.Module]:
        grid, settings, scheme = self._config.grid, self._settings, self._config.scheme
        paths = self._bank.paths("pairs")
        self._update(limits_ml=self._limits(self._volumes_ml(paths)))
        draw = VolumeDraw(
            paths,
            self._mirror,
            scheme,
            self._config.limits_ml,
            settings.batch,
            voxel_volume_ml=grid.voxel_volume_ml,
            device=self._device,
        )
        self._fresh.set_prior(*draw.mean())
        network = self._stage("alpha_wgan", self._fresh, alpha_wgan_turns(draw), settings.stage).run(deadline=deadline)
        self._calibrate(AlphaWGANGenerator(self._config, network, fingerprint="", device=str(self._device)))
        return generating_networks(network)

    def _volumes_ml(self, paths: Sequence[Path]) -> torch.Tensor:
        """Volumes ``(N, controls)`` in mL of the bank's pairs and their mirror images."""
        scheme = self._config.scheme
        counts = [torch.bincount(Bank.read(path).label.flatten(), minlength=scheme.num_classes) for path in paths]
        both = torch.stack([one for count in counts for one in (count, self._mirror.swap(count))]).float()
        members = (list(scheme.resolve(control)) for control in self._settings.controls)
        return self._config.grid.voxel_volume_ml * torch.stack([both[:, ids].sum(dim=1) for ids in members], dim=1)
