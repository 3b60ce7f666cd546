"""Fit the networks of a guided LDM in turn; every part of the work is resumed where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from synthaug.anatomy import NormalRange, StructureMeasures
from synthaug.anatomy.normal_range import FEWEST_BRAINS
from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.fitting.bank import Bank
from synthaug.fitting.generator_fit import MEND_SETTINGS, FitTask, GeneratorFit
from synthaug.fitting.guided_ldm_settings import GuidedLDMSettings
from synthaug.fitting.image_autoencoder import ImageAutoencoderLoss
from synthaug.fitting.image_diffusion import ImageDiffusionLoss
from synthaug.fitting.label_autoencoder import LabelAutoencoderLoss, balanced_class_weights
from synthaug.fitting.latents import MaskSurvey, encode_images, latent_scale, survey_labels
from synthaug.fitting.mask_detail import MaskDetailLoss
from synthaug.fitting.mask_diffusion import MaskDiffusionLoss
from synthaug.fitting.rehearsal import DetailRehearsal, MaskRehearsal, Rehearsal
from synthaug.fitting.stage import Turn
from synthaug.generators.guided_ldm import GuidedLDM, GuidedLDMFolder, GuidedLDMNetworks
from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.latent_scale import LatentScale
from synthaug.generators.volume_prior import VolumePrior
from synthaug.generators.weight_files import build_networks
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.networks.image_diffusion import ImageDiffusionUNet
from synthaug.networks.label_autoencoder import LabelAutoencoder, decision_offset
from synthaug.networks.latent_pyramid import BLOCK, DETAIL_LEVELS
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.mask_diffusion import MaskDiffusionUNet


class GuidedLDMFit(GeneratorFit[GuidedLDMConfig, GuidedLDMSettings]):
    """Fit of a guided LDM; see :class:`~synthaug.fitting.generator_fit.GeneratorFit`.

    Args:
        task: what is fitted.
        begun: a generator that is trained on; the cases have its scheme, grid and channels, and the settings its sizes
            (`GuidedLDMSettings.like`).
        train_masks: whether its mask stage is trained on, too, instead of kept.
    """

    system = "guided-ldm"

    def __init__(
        self,
        task: FitTask[GuidedLDMSettings],
        *,
        begun: GuidedLDMFolder | None = None,
        train_masks: bool = False,
    ) -> None:
        super().__init__(task)
        settings = task.settings
        self._begun = begun
        self._fits_masks = begun is None or train_masks
        self._seconds = settings.stage_seconds(task.training_seconds, masks=self._fits_masks)
        # Scales, limits and windows are measured on the way and filled in before the generator is written.
        self._config = GuidedLDMConfig(
            **task.common(),
            label_autoencoder=settings.label_autoencoder.network,
            mask_diffusion=settings.mask_diffusion.network,
            mask_detail_0=settings.mask_detail_0.network,
            mask_detail_1=settings.mask_detail_1.network,
            image_autoencoder=settings.image_autoencoder.network,
            image_diffusion=settings.image_diffusion.network,
            mask_latent=LatentScale((), ()),
            image_latent=LatentScale((), ()),
            volume_prior=VolumePrior((), ()),
            sampling=settings.sampling,
        )
        if begun is not None:
            self._update(
                limits_ml=begun.config.limits_ml,
                mask_latent=begun.config.mask_latent,
                volume_prior=begun.config.volume_prior,
                normal_range=begun.config.normal_range,
                required_structures=begun.config.required_structures,
                training_cases=tuple(dict.fromkeys((*begun.config.training_cases, *self._config.training_cases))),
            )
        self._fresh = begun.networks if begun else self._build()
        self._check_sizes()

    def _build(self) -> GuidedLDMNetworks:
        return build_networks(lambda: GuidedLDMNetworks.build(self._config), "settings", MEND_SETTINGS)

    def _check_sizes(self) -> None:
        """Refuse sizes that a later stage would stumble over, before the first one has cost hours."""
        multiple = self._fresh.sizes().shape_multiple
        for key, size in (
            ("shape", self._settings.shape),
            ("mask_detail_1.batch.crop", self._settings.mask_detail_1.batch.crop),
        ):
            if size is not None and any(extent < multiple or extent % multiple for extent in size):
                raise ConfigurationError(
                    f"settings: {key} is {list(size)}; the networks take multiples of {multiple}: choose such ones"
                )

    def _train(self, deadline: float | None) -> Mapping[str, nn.Module]:
        networks = self._fit_masks(deadline) if self._fits_masks else self._fresh
        networks = replace(networks, image_autoencoder=self._fit_image_autoencoder(deadline))
        networks = replace(networks, image_diffusion=self._fit_image_diffusion(networks, deadline))
        if self._fits_masks:
            self._update(normal_range=self._normal_range())
        generator = GuidedLDM(self._config, networks, fingerprint="", device=str(self._device))
        self._calibrate(generator, masks=self._fits_masks)
        return networks.by_name()

    def _fit_masks(self, deadline: float | None) -> GuidedLDMNetworks:
        """The networks with those of the mask stage trained, in the order in which they depend on each other."""
        label_autoencoder = self._fit_label_autoencoder(deadline)
        survey = self._survey(label_autoencoder)
        mask_diffusion = self._fit_mask_diffusion(label_autoencoder, survey, deadline)
        rehearsal = MaskRehearsal(
            mask_diffusion,
            label_autoencoder,
            survey.scale(),
            self._config.scheme,
            self._config.grid,
            self._config.limits_ml,
            self._dtype,
        )
        coarser = self._fit_mask_detail(0, label_autoencoder, survey, rehearsal, deadline)
        finer = self._fit_mask_detail(1, label_autoencoder, survey, DetailRehearsal(coarser, self._dtype), deadline)
        return replace(
            self._fresh,
            label_autoencoder=label_autoencoder,
            mask_diffusion=mask_diffusion,
            mask_detail_0=coarser,
            mask_detail_1=finer,
        )

    def _identity(self) -> dict[str, Any]:
        begun = self._begun.fingerprint if self._begun else None
        return {**super()._identity(), "begun": begun, "fits_masks": self._fits_masks}

    def _fit_label_autoencoder(self, deadline: float | None) -> LabelAutoencoder:
        paths = self._bank.paths("labels")
        class_weights = balanced_class_weights(self._bank.unwarped("labels"), self._config.scheme.num_classes)
        network = self._fresh.label_autoencoder
        network.decision_offset.copy_(decision_offset(class_weights))
        loss = LabelAutoencoderLoss(
            paths,
            self._mirror,
            self._settings.label_autoencoder.batch,
            class_weights,
            multiple=network.downsampling,
            device=self._device,
        )
        return self._stage("label_autoencoder", network, [Turn(loss)], self._settings.label_autoencoder.stage).run(
            deadline=deadline
        )

    def _survey(self, autoencoder: LabelAutoencoder) -> MaskSurvey:
        """Survey the bank, and take over what the configuration says of it."""
        controls, voxel_ml = self._settings.controls, self._config.grid.voxel_volume_ml
        survey = survey_labels(
            autoencoder,
            self._bank.paths("labels"),
            self._mirror,
            self._config.scheme,
            controls,
            voxel_ml,
            cache=self._work / "label_survey.safetensors",
            device=self._device,
        )
        if self._begun is not None:  # its networks know its own scale and limits
            return replace(survey, given_scale=self._begun.config.mask_latent)
        volumes_ml = survey.volumes_ml.flatten(0, 1)
        prior = VolumePrior.of(volumes_ml.clamp(min=voxel_ml).double().numpy())
        self._update(limits_ml=self._limits(volumes_ml), mask_latent=survey.scale(), volume_prior=prior)
        return survey

    def _normal_range(self) -> NormalRange | None:
        """Volumes and contacts of the training label maps as they are, not warped; where they are too few, those of the
        generator that is trained on, or None.
        """
        paths = self._bank.unwarped("labels")
        if len(paths) < FEWEST_BRAINS:
            return self._config.normal_range
        scheme, voxel_ml = self._config.scheme, self._config.grid.voxel_volume_ml
        labels = (Bank.read(path).label.numpy() for path in paths)
        return NormalRange.of([StructureMeasures.of(label, scheme, voxel_ml) for label in labels], scheme)

    def _fit_mask_diffusion(
        self, autoencoder: LabelAutoencoder, survey: MaskSurvey, deadline: float | None
    ) -> MaskDiffusionUNet:
        loss = MaskDiffusionLoss(
            self._bank.paths("labels"),
            self._mirror,
            autoencoder,
            survey,
            self._config.limits_ml,
            self._settings.mask_diffusion.batch,
            device=self._device,
        )
        network = self._fresh.mask_diffusion
        if self._begun is None:
            network.set_prior(*survey.prior())
        return self._stage("mask_diffusion", network, [Turn(loss)], self._settings.mask_diffusion.stage).run(
            deadline=deadline
        )

    def _fit_mask_detail(
        self,
        level: int,
        autoencoder: LabelAutoencoder,
        survey: MaskSurvey,
        rehearsal: Rehearsal,
        deadline: float | None,
    ) -> MaskDetailUNet:
        name = f"mask_detail_{level}"
        network, settings = getattr(self._fresh, name), getattr(self._settings, name)
        if self._begun is None:
            network.deviation.copy_(survey.detail_deviation(level))
        loss = MaskDetailLoss(
            self._bank.paths("labels"),
            self._mirror,
            autoencoder,
            survey.scale(),
            level,
            settings.batch,
            rehearsal,
            multiple=autoencoder.downsampling * BLOCK ** (DETAIL_LEVELS - level),
            device=self._device,
        )
        return self._stage(name, network, [Turn(loss)], settings.stage).run(deadline=deadline)

    def _fit_image_autoencoder(self, deadline: float | None) -> ImageAutoencoder:
        network = self._fresh.image_autoencoder
        loss = ImageAutoencoderLoss(
            self._bank.paths("pairs"),
            self._mirror,
            self._settings.image_autoencoder.batch,
            multiple=network.downsampling,
            device=self._device,
        )
        return self._stage("image_autoencoder", network, [Turn(loss)], self._settings.image_autoencoder.stage).run(
            deadline=deadline
        )

    def _fit_image_diffusion(self, networks: GuidedLDMNetworks, deadline: float | None) -> ImageDiffusionUNet:
        autoencoder = networks.image_autoencoder
        data = encode_images(
            autoencoder,
            self._bank.paths("pairs"),
            self._mirror,
            cache=self._work / "image_latents.safetensors",
            device=self._device,
            dtype=self._dtype,
        )
        self._update(image_latent=latent_scale(data.latents))
        loss = ImageDiffusionLoss(
            data,
            self._config.image_latent,
            self._settings.image_diffusion.batch,
            downsampling=autoencoder.downsampling,
            device=self._device,
        )

        def picture(average: ImageDiffusionUNet, writer: SummaryWriter, step: int) -> None:
            self._show_sample(replace(networks, image_diffusion=average), writer, step)

        settings = self._settings.image_diffusion.stage
        stage = self._stage("image_diffusion", networks.image_diffusion, [Turn(loss)], settings)
        return stage.run(deadline=deadline, on_checkpoint=picture)

    def _show_sample(self, networks: GuidedLDMNetworks, writer: SummaryWriter, step: int) -> None:
        """Write the middle slices of a sample at the middle of the first control's range to TensorBoard."""
        control, (low, high) = next(iter(self._config.limits_ml.items()))
        condition = Condition({control: (low * high) ** 0.5})
        generator = GuidedLDM(self._config, networks, fingerprint="", device=str(self._device))
        (pair,) = generator.generate([condition], [step])
        slices = pair.image[0, :, :, pair.image.shape[3] // 2]
        writer.add_image("sample", np.flipud(slices.T)[None] / max(float(slices.max()), 1e-6), step)
