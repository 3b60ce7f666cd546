"""Fit the networks of a guided LDM in turn; every part of the work is resumed where it stopped."""

from __future__ import annotations

import logging
import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.tensorboard import SummaryWriter

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.files.atomic import replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.files.compact_weights import compact
from synthaug.files.tensors import write_tensors
from synthaug.fitting.bank import Bank, refuse_repeated_identifiers
from synthaug.fitting.calibration import label_offsets, structures_of_all, trial_label_maps
from synthaug.fitting.cases import FittingCase, always_present
from synthaug.fitting.crops import LabelMirror
from synthaug.fitting.image_autoencoder import ImageAutoencoderLoss
from synthaug.fitting.image_diffusion import ImageDiffusionLoss
from synthaug.fitting.label_autoencoder import LabelAutoencoderLoss, balanced_class_weights
from synthaug.fitting.latents import MaskSurvey, encode_images, latent_scale, survey_labels
from synthaug.fitting.mask_detail import MaskDetailLoss
from synthaug.fitting.mask_diffusion import MaskDiffusionLoss
from synthaug.fitting.rehearsal import DetailRehearsal, MaskRehearsal, Rehearsal
from synthaug.fitting.settings import FitSettings
from synthaug.fitting.stage import Loss, Network, Stage, StageSettings
from synthaug.fitting.work_identity import refuse_other_work
from synthaug.generators.guided_ldm import GuidedLDM, GuidedLDMFolder, GuidedLDMNetworks
from synthaug.generators.guided_ldm_config import CONFIG_NAME, GuidedLDMConfig
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.generators.latent_scale import LatentScale
from synthaug.generators.volume_prior import VolumePrior
from synthaug.labels import LabelScheme
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.networks.image_diffusion import ImageDiffusionUNet
from synthaug.networks.label_autoencoder import LabelAutoencoder, decision_offset
from synthaug.networks.latent_pyramid import BLOCK, DETAIL_LEVELS
from synthaug.networks.mask_detail import MaskDetailUNet
from synthaug.networks.mask_diffusion import MaskDiffusionUNet
from synthaug.networks.precision import choose_dtype
from synthaug.volumes.grid import Grid
from synthaug.warps.growth import growth_rates

logger = logging.getLogger(__name__)

LEAST_RANGE = 1.1
"""Least ratio of a control's bounds."""


class GuidedLDMFit:
    """One fit in one folder: ``work/`` holds what is resumed, the folder itself the finished generator.

    Args:
        name: name of the generator.
        cases: training cases; those without an image train the mask stage only.
        scheme: label scheme.
        channels: names of the image channels.
        settings: networks, batches, shares.
        folder: where the generator goes.
        budget_seconds: training time over all runs; the bank and the encoding of latents come on top.
        accelerator: device and precision.
        begun: a generator that is trained on; the cases have its scheme, grid and channels, and the settings its sizes
            (`FitSettings.like`).
        train_masks: whether its mask stage is trained on, too, instead of kept.

    Raises:
        ConfigurationError: two cases with one identifier, or sizes that do not fit.
    """

    def __init__(
        self,
        name: str,
        cases: Sequence[FittingCase],
        scheme: LabelScheme,
        channels: Sequence[str],
        settings: FitSettings,
        folder: Path,
        *,
        budget_seconds: float,
        accelerator: Accelerator,
        begun: GuidedLDMFolder | None = None,
        train_masks: bool = False,
    ) -> None:
        refuse_repeated_identifiers(cases)
        self._cases = cases
        self._settings = settings
        self._folder = folder
        self._work = folder / "work"
        self._bank_seconds = settings.bank.share * budget_seconds or math.inf
        self._begun = begun
        self._fits_masks = begun is None or train_masks
        self._seconds = settings.stage_seconds((1 - settings.bank.share) * budget_seconds, masks=self._fits_masks)
        self._accelerator = accelerator
        self._device = accelerator.device
        self._dtype = choose_dtype(accelerator.device)
        self._mirror = LabelMirror(scheme.mirror_ids(), flips=settings.mirror)
        self._bank = Bank(self._work / "bank")
        # Scales, limits and windows are measured on the way and filled in before the generator is written.
        self._config = GuidedLDMConfig(
            name=name,
            scheme=scheme,
            channels=tuple(channels),
            grid=Grid(settings.shape, (settings.spacing_mm,) * 3),
            limits_ml={control: settings.limits_ml.get(control, (0.0, 0.0)) for control in settings.controls},
            label_autoencoder=settings.label_autoencoder.network,
            mask_diffusion=settings.mask_diffusion.network,
            mask_detail=settings.mask_detail.network,
            image_autoencoder=settings.image_autoencoder.network,
            image_diffusion=settings.image_diffusion.network,
            mask_latent=LatentScale((), ()),
            image_latent=LatentScale((), ()),
            volume_prior=VolumePrior((), ()),
            intensities=tuple(
                IntensityScale.middling(list(scales))
                for scales in zip(*(case.scales for case in cases if case.scales), strict=True)
            ),
            required_structures=always_present(cases, scheme),
            sampling=settings.sampling,
            licence=settings.licence,
            training_cases=tuple(record for case in cases for record in case.records),
            versions={"python": platform.python_version(), **{p: version(p) for p in ("torch", "monai", "diffusers")}},
        )
        if begun is not None:
            self._update(
                limits_ml=begun.config.limits_ml,
                mask_latent=begun.config.mask_latent,
                volume_prior=begun.config.volume_prior,
                required_structures=begun.config.required_structures,
                training_cases=tuple(dict.fromkeys((*begun.config.training_cases, *self._config.training_cases))),
            )
        set_seed(settings.seed)
        self._fresh = begun.networks if begun else GuidedLDMNetworks.build(self._config)
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Refuse sizes that a later stage would stumble over, before the first one has cost hours."""
        multiple = self._fresh.sizes().shape_multiple
        for key, size in (
            ("shape", self._settings.shape),
            ("mask_detail.batch.crop", self._settings.mask_detail.batch.crop),
        ):
            if any(extent % multiple for extent in size):
                raise ConfigurationError(
                    f"settings: {key} is {list(size)}; the networks take multiples of {multiple}: choose such ones"
                )

    def run(
        self, *, deadline: float | None = None, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Path:
        """Fit what is not yet fitted, and write the generator.

        Args:
            deadline: wall-clock time (``time.time()``) at which to stop.
            progress: called while the bank is built, with the items done and in all.

        Returns:
            The generator's folder.

        Raises:
            TimeoutError: the deadline came first; run again to go on.
        """
        self._check_identity()
        scheme, settings = self._config.scheme, self._settings
        fluid = [identifier for name in settings.fluid if name in scheme.names for identifier in scheme.resolve(name)]
        with self._accelerator.main_process_first():
            self._bank.build(
                self._cases,
                settings.bank,
                growth=growth_rates(scheme, scheme.resolve(settings.controls[0])),
                fluid_ids=fluid,
                spacing_mm=settings.spacing_mm,
                seed=settings.seed,
                seconds=self._bank_seconds,
                progress=progress,
            )
        networks = self._fit_masks(deadline) if self._fits_masks else self._fresh
        networks = replace(networks, image_autoencoder=self._fit_image_autoencoder(deadline))
        networks = replace(networks, image_diffusion=self._fit_image_diffusion(networks, deadline))
        self._calibrate(networks)
        self._write(networks)
        return self._folder

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

    def _check_identity(self) -> None:
        """Refuse to go on with work that other cases or settings began."""
        identity = canonical_json({"settings": asdict(self._settings), "scheme": self._config.scheme.to_dict(),
                                   "cases": [asdict(case) for case in self._config.training_cases],
                                   "begun": self._begun.fingerprint if self._begun else None,
                                   "fits_masks": self._fits_masks})  # fmt: skip
        refuse_other_work(self._work / "fit.json", identity, "the work of a fit with other cases or settings")

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
        return self._stage("label_autoencoder", network, loss, self._settings.label_autoencoder.stage).run(
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
        measured = zip(controls, survey.volumes_ml.flatten(0, 1).T, strict=True)
        limits = {
            control: self._settings.limits_ml.get(control, _measured_limits(values, voxel_ml))
            for control, values in measured
        }
        volumes_ml = survey.volumes_ml.flatten(0, 1).clamp(min=voxel_ml)
        self._update(
            limits_ml=limits, mask_latent=survey.scale(), volume_prior=VolumePrior.of(volumes_ml.double().numpy())
        )
        return survey

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
        return self._stage("mask_diffusion", network, loss, self._settings.mask_diffusion.stage).run(deadline=deadline)

    def _fit_mask_detail(
        self,
        level: int,
        autoencoder: LabelAutoencoder,
        survey: MaskSurvey,
        rehearsal: Rehearsal,
        deadline: float | None,
    ) -> MaskDetailUNet:
        name = f"mask_detail_{level}"
        network = (self._fresh.mask_detail_0, self._fresh.mask_detail_1)[level]
        if self._begun is None:
            network.deviation.copy_(survey.detail_deviation(level))
        loss = MaskDetailLoss(
            self._bank.paths("labels"),
            self._mirror,
            autoencoder,
            survey.scale(),
            level,
            self._settings.mask_detail.batch,
            rehearsal,
            multiple=autoencoder.downsampling * BLOCK ** (DETAIL_LEVELS - level),
            device=self._device,
        )
        return self._stage(name, network, loss, self._settings.mask_detail.stage).run(deadline=deadline)

    def _fit_image_autoencoder(self, deadline: float | None) -> ImageAutoencoder:
        network = self._fresh.image_autoencoder
        loss = ImageAutoencoderLoss(
            self._bank.paths("pairs"),
            self._mirror,
            self._settings.image_autoencoder.batch,
            multiple=network.downsampling,
            device=self._device,
        )
        return self._stage("image_autoencoder", network, loss, self._settings.image_autoencoder.stage).run(
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
        stage = self._stage("image_diffusion", networks.image_diffusion, loss, settings)
        return stage.run(deadline=deadline, on_checkpoint=picture)

    def _calibrate(self, networks: GuidedLDMNetworks) -> None:
        """Ask of label maps no structure that trials lack, and give structures their mean intensities."""
        generator = GuidedLDM(self._config, networks, fingerprint="", device=str(self._device))
        trials = trial_label_maps(generator, seed=self._settings.seed)
        if self._fits_masks:
            made = structures_of_all(self._config.required_structures, trials, self._config.scheme)
            self._update(required_structures=made)
        offsets = label_offsets(generator, self._bank.unwarped("pairs"), trials, seed=self._settings.seed)
        self._update(label_offsets=offsets)

    def _stage(self, name: str, network: Network, loss: Loss[Network], settings: StageSettings) -> Stage[Network]:
        return Stage(
            name,
            self._work,
            network,
            loss,
            settings,
            budget_seconds=self._seconds[name],
            accelerator=self._accelerator,
            seed=self._settings.seed,
        )

    def _update(self, **changes: Any) -> None:
        self._config = replace(self._config, **changes)

    def _show_sample(self, networks: GuidedLDMNetworks, writer: SummaryWriter, step: int) -> None:
        """Write the middle slices of a sample at the middle of the first control's range to TensorBoard."""
        control, (low, high) = next(iter(self._config.limits_ml.items()))
        condition = Condition({control: (low * high) ** 0.5})
        generator = GuidedLDM(self._config, networks, fingerprint="", device=str(self._device))
        (pair,) = generator.generate([condition], [step])
        slices = pair.image[0, :, :, pair.image.shape[3] // 2]
        writer.add_image("sample", np.flipud(slices.T)[None] / max(float(slices.max()), 1e-6), step)

    def _write(self, networks: GuidedLDMNetworks) -> None:
        """Write the generator: weights in their compact form, configuration last."""
        if not self._accelerator.is_main_process:
            return
        for name, network in networks.by_name().items():
            write_tensors(self._folder / f"{name}.safetensors", compact(network.state_dict()))
        replace_file(self._folder / CONFIG_NAME, canonical_json(self._config.to_dict()).encode())
        logger.info("wrote %s at %s", self._folder, time.strftime("%H:%M:%S"))


def _measured_limits(volumes_ml: torch.Tensor, voxel_volume_ml: float) -> tuple[float, float]:
    """Range of the training maps that have any of it; never empty and never zero, since conditions are logarithms."""
    present = volumes_ml[volumes_ml > 0]
    low = max(float(present.min()), voxel_volume_ml) if len(present) else voxel_volume_ml
    return low, max(float(volumes_ml.max()), LEAST_RANGE * low)
