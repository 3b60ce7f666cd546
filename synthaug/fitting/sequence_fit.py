"""Fits of `medgen3d`, `vid2vid` and `ddpm2d`, whose stages do not depend on each other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import torch
from torch import nn

from synthaug.fitting.class_intensities import measure_classes
from synthaug.fitting.generator_fit import MEND_SETTINGS, FitTask, GeneratorFit
from synthaug.fitting.image_sequence import ImageSequenceGame, image_sequence_turns
from synthaug.fitting.mask_sequence import MaskSequenceLoss, survey_sequences
from synthaug.fitting.sequence_settings import SequenceSettings
from synthaug.fitting.slice_diffusion import SliceDiffusionLoss
from synthaug.fitting.stage import Turn
from synthaug.generators.ddpm2d import DDPM2D
from synthaug.generators.medgen3d import MedGen3D
from synthaug.generators.sequence_config import SequenceConfig
from synthaug.generators.sequence_generator import SequenceGenerator, SequenceNetworks
from synthaug.generators.vid2vid import Vid2Vid
from synthaug.generators.weight_files import build_networks
from synthaug.networks.image_sequence import ImageSequenceGenerator
from synthaug.networks.mask_sequence import MaskSequenceUNet
from synthaug.networks.sequence_discriminators import ImageDiscriminator, SequenceDiscriminator
from synthaug.networks.slice_diffusion import SliceDiffusionUNet


class SequenceFit(GeneratorFit[SequenceConfig, SequenceSettings]):
    """Fit of one of these systems; see :class:`~synthaug.fitting.generator_fit.GeneratorFit`."""

    generator: ClassVar[type[SequenceGenerator]]

    def __init__(self, task: FitTask[SequenceSettings]) -> None:
        super().__init__(task)
        settings = task.settings
        self._seconds = settings.stage_seconds(self.system, task.training_seconds)
        self._config = SequenceConfig(
            **task.common(),
            system=self.system,
            mask_sequence=settings.mask_sequence.network,
            image_sequence=settings.image_sequence.network,
            slice_diffusion=settings.slice_diffusion.network,
            sampling=settings.sampling,
        )
        self._fresh = build_networks(lambda: SequenceNetworks.build(self._config), "settings", MEND_SETTINGS)
        build_networks(self._discriminators, "settings", MEND_SETTINGS)  # told now, not after the first stage

    def _train(self, deadline: float | None) -> Mapping[str, nn.Module]:
        image_sequence = self._fresh.image_sequence
        networks = SequenceNetworks(
            self._fit_mask_sequence(deadline),
            self._fit_image_sequence(image_sequence, deadline) if image_sequence is not None else None,
            {
                view: self._fit_slice_diffusion(view, network, deadline)
                for view, network in self._fresh.slice_diffusion.items()
            },
        )
        self._calibrate(self.generator(self._config, networks, fingerprint="", device=str(self._device)))
        return networks.by_name()

    def _fit_mask_sequence(self, deadline: float | None) -> MaskSequenceUNet:
        controls, grid = self._settings.controls, self._config.grid
        network, paths = self._fresh.mask_sequence, self._bank.paths("labels")
        survey = survey_sequences(
            paths,
            self._mirror,
            self._config.scheme,
            controls,
            network.shape,
            grid.voxel_volume_ml,
            cache=self._work / "label_survey.safetensors",
        )
        limits = self._limits(survey.volumes_ml.flatten(0, 1))
        self._update(limits_ml=limits)
        network.set_prior(survey.prior)
        settings = self._settings.mask_sequence
        loss = MaskSequenceLoss(paths, self._mirror, survey, limits, settings.batch, device=self._device)
        return self._stage("mask_sequence", network, [Turn(loss)], settings.stage).run(deadline=deadline)

    def _fit_image_sequence(self, generator: ImageSequenceGenerator, deadline: float | None) -> ImageSequenceGenerator:
        settings, paths = self._settings.image_sequence, self._bank.paths("pairs")
        mean, _ = self._class_intensities
        generator.set_intensities(mean)
        game = ImageSequenceGame(generator, *self._discriminators())
        turns = image_sequence_turns(paths, self._mirror, settings.batch, device=self._device)
        return self._stage("image_sequence", game, turns, settings.stage).run(deadline=deadline).generator

    @cached_property
    def _class_intensities(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation ``(classes, C)`` of the intensities of each class in the training cases."""
        return measure_classes(self._bank.unwarped("pairs"), self._config.scheme.num_classes)

    def _discriminators(self) -> tuple[ImageDiscriminator, SequenceDiscriminator]:
        """Opponents of the generator of image slices, with fresh weights."""
        settings, channels = self._settings.image_sequence, len(self._config.channels)
        return (
            ImageDiscriminator(channels, self._config.scheme.num_classes, **settings.image_discriminator),
            SequenceDiscriminator(channels, **settings.sequence_discriminator),
        )

    def _fit_slice_diffusion(
        self, view: str, network: SliceDiffusionUNet, deadline: float | None
    ) -> SliceDiffusionUNet:
        settings = self._settings.slice_diffusion
        network.set_prior(*self._class_intensities)
        loss = SliceDiffusionLoss(self._bank.paths("pairs"), self._mirror, view, settings.batch, device=self._device)
        return self._stage(f"slice_diffusion_{view}", network, [Turn(loss)], settings.stage).run(deadline=deadline)


class MedGen3DFit(SequenceFit):
    """All stages."""

    system = MedGen3D.system
    generator = MedGen3D


class Vid2VidFit(SequenceFit):
    """Label and image slices in order."""

    system = Vid2Vid.system
    generator = Vid2Vid


class DDPM2DFit(SequenceFit):
    """Label slices in order, image slices of each view."""

    system = DDPM2D.system
    generator = DDPM2D
