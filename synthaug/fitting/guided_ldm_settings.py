"""Everything that the fit of a guided LDM can be told, in one JSON-able tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from synthaug.errors import ConfigurationError
from synthaug.fitting.image_autoencoder import ImageAutoencoderBatch
from synthaug.fitting.image_diffusion import ImageDiffusionBatch
from synthaug.fitting.label_autoencoder import LabelAutoencoderBatch
from synthaug.fitting.mask_detail import CroppedDetailBatch, MaskDetailBatch
from synthaug.fitting.mask_diffusion import MaskDiffusionBatch
from synthaug.fitting.settings import FitSettings, divide, refuse_unknown
from synthaug.fitting.stage import StageSettings
from synthaug.generators.guided_ldm_checks import SECTIONS
from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.sampling_config import SamplingConfig
from synthaug.labels import LabelScheme

MASK_SECTIONS = ("label_autoencoder", "mask_diffusion", "mask_detail_0", "mask_detail_1")

FINE_TUNING_RATE = 2e-4
"""Learning rate of a mask stage that goes on from a generator's."""


@dataclass(frozen=True)
class LabelAutoencoderSettings:
    """Network, batch and schedule of the label-map autoencoder."""

    network: dict[str, Any] = field(default_factory=dict)
    batch: LabelAutoencoderBatch = field(default_factory=LabelAutoencoderBatch)
    stage: StageSettings = field(default_factory=lambda: StageSettings(share=0.1))


@dataclass(frozen=True)
class MaskDiffusionSettings:
    """Network, batch and schedule of the mask diffusion model."""

    network: dict[str, Any] = field(default_factory=dict)
    batch: MaskDiffusionBatch = field(default_factory=MaskDiffusionBatch)
    stage: StageSettings = field(default_factory=lambda: StageSettings(share=0.4))


@dataclass(frozen=True)
class MaskDetailSettings:
    """Network, batch and schedule of the model that adds the coarser detail to label maps."""

    network: dict[str, Any] = field(default_factory=dict)
    batch: MaskDetailBatch = field(default_factory=MaskDetailBatch)
    stage: StageSettings = field(default_factory=lambda: StageSettings(share=0.1))


@dataclass(frozen=True)
class FineDetailSettings:
    """Network, batch and schedule of the model that adds the finer detail."""

    network: dict[str, Any] = field(default_factory=dict)
    batch: CroppedDetailBatch = field(default_factory=CroppedDetailBatch)
    stage: StageSettings = field(default_factory=lambda: StageSettings(share=0.1))


@dataclass(frozen=True)
class ImageAutoencoderSettings:
    """Network, batch and schedule of the image autoencoder."""

    network: dict[str, Any] = field(default_factory=dict)
    batch: ImageAutoencoderBatch = field(default_factory=ImageAutoencoderBatch)
    stage: StageSettings = field(default_factory=lambda: StageSettings(share=0.14))


@dataclass(frozen=True)
class ImageDiffusionSettings:
    """Network, batch and schedule of the image diffusion model."""

    network: dict[str, Any] = field(default_factory=lambda: {"preconditioned": True})
    batch: ImageDiffusionBatch = field(default_factory=ImageDiffusionBatch)
    stage: StageSettings = field(default_factory=lambda: StageSettings(share=0.26, learning_rate=1e-3, ema_decay=0.996))


@dataclass(frozen=True)
class GuidedLDMSettings(FitSettings):
    """How a guided LDM is fitted.

    Attributes:
        sampling: how the finished generator samples.
        label_autoencoder: first stage.
        mask_diffusion: second stage.
        mask_detail_0: then the coarser detail, which is learned on whole label maps.
        mask_detail_1: then the finer, which is learned on crops.
        image_autoencoder: then this.
        image_diffusion: last stage.
    """

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    label_autoencoder: LabelAutoencoderSettings = field(default_factory=LabelAutoencoderSettings)
    mask_diffusion: MaskDiffusionSettings = field(default_factory=MaskDiffusionSettings)
    mask_detail_0: MaskDetailSettings = field(default_factory=MaskDetailSettings)
    mask_detail_1: FineDetailSettings = field(default_factory=FineDetailSettings)
    image_autoencoder: ImageAutoencoderSettings = field(default_factory=ImageAutoencoderSettings)
    image_diffusion: ImageDiffusionSettings = field(default_factory=ImageDiffusionSettings)

    def check(self, scheme: LabelScheme, where: str) -> None:
        """See :meth:`synthaug.fitting.settings.FitSettings.check`."""
        super().check(scheme, where)
        for key in ("thin", "one_piece", "enclosed"):
            refuse_unknown(getattr(self.sampling, key), scheme, f"{where}, sampling.{key}")
        for name, multiple in (("label_autoencoder", 2), ("image_autoencoder", 4), ("image_diffusion", 4)):
            crop = getattr(self, name).batch.crop
            if any(edge < multiple or edge % multiple for edge in crop):
                raise ConfigurationError(
                    f"{where}, {name}.batch.crop: is {list(crop)}; multiples of {multiple} are needed"
                )

    def like(self, config: GuidedLDMConfig, *, masks: bool = False) -> GuidedLDMSettings:
        """Settings of a fit that goes on from a generator: its field of view, controls, networks and sampler.

        Args:
            config: of the generator.
            masks: whether its label maps are trained on, too.
        """
        parts = {name: replace(getattr(self, name), network=dict(getattr(config, name))) for name in SECTIONS}
        for name in MASK_SECTIONS:  # what they know of other heads is kept
            stage = replace(parts[name].stage, learning_rate=FINE_TUNING_RATE)
            parts[name] = replace(parts[name], stage=stage)
        bank = self.bank if masks else replace(self.bank, label_variants=0, tail_variants=0)
        return replace(
            self,
            shape=config.grid.shape,
            spacing_mm=config.grid.spacing_mm[0],
            controls=tuple(config.limits_ml),
            licence=config.licence,
            sampling=config.sampling,
            bank=bank,
            **parts,
        )

    def stage_seconds(self, budget_seconds: float, *, masks: bool = True) -> Mapping[str, float]:
        """Training time of each stage; without the stages of masks, those of images share all of it."""
        names = [name for name in SECTIONS if masks or name not in MASK_SECTIONS]
        return divide(budget_seconds, {name: getattr(self, name).stage.share for name in names})
