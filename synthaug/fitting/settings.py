"""Everything that a fit can be told, in one JSON-able tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from synthaug.configuration.limits import allowed
from synthaug.errors import ConfigurationError, LabelError
from synthaug.fitting.bank import BankSettings
from synthaug.fitting.image_autoencoder import ImageAutoencoderBatch
from synthaug.fitting.image_diffusion import ImageDiffusionBatch
from synthaug.fitting.label_autoencoder import LabelAutoencoderBatch
from synthaug.fitting.mask_detail import MaskDetailBatch
from synthaug.fitting.mask_diffusion import MaskDiffusionBatch
from synthaug.fitting.stage import StageSettings
from synthaug.generators.guided_ldm_checks import SECTIONS
from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.sampling_config import SamplingConfig
from synthaug.labels import LabelScheme
from synthaug.networks.latent_pyramid import DETAIL_LEVELS

MOST_CLASSES = 16
"""By intensity."""


MASK_SECTIONS = ("label_autoencoder", "mask_diffusion", "mask_detail")

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
    """Network, batch and schedule of each of the models that add detail to coarse label maps."""

    network: dict[str, Any] = field(default_factory=dict)
    batch: MaskDetailBatch = field(default_factory=MaskDetailBatch)
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
class FitSettings:
    """How a guided LDM is fitted.

    Attributes:
        shape: voxels of the field of view along x, y, z (RAS+); multiples of 32.
        spacing_mm: isotropic voxel spacing in mm.
        mirror: whether the mirror image of a case is one, too; not in trunks.
        unlabelled_classes: classes by intensity that tissue without a label is split into; 0: it becomes background.
        split: likewise by structure of the dataset that is large and of more than one tissue.
        controls: structures or groups whose volumes can be asked for; the first is the one that is augmented.
        limits_ml: bounds of a control in mL; a control that is not named takes the range of the augmented training
            maps.
        fluid: structures that give way first when the first control is inflated.
        licence: licence of the weights, which is that of their data.
        sampling: how the finished generator samples.
        seed: seed of all draws.
        bank: augmentation of the training cases.
        label_autoencoder: first stage.
        mask_diffusion: second stage.
        mask_detail: the stages after it, one for each finer level.
        image_autoencoder: then this.
        image_diffusion: last stage.
    """

    shape: tuple[int, int, int] = field(default=(160, 192, 160), metadata=allowed(low=1))
    spacing_mm: float = field(default=1.0, metadata=allowed(above=0))
    mirror: bool = True
    unlabelled_classes: int = field(default=0, metadata=allowed(low=0, high=MOST_CLASSES))
    split: dict[str, int] = field(default_factory=dict)
    controls: tuple[str, ...] = ("ventricles",)
    limits_ml: dict[str, tuple[float, float]] = field(default_factory=dict)
    fluid: tuple[str, ...] = ("csf",)
    licence: str = "that of the training data"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    seed: int = field(default=0, metadata=allowed(low=0, high=2**32 - 1))
    bank: BankSettings = field(default_factory=BankSettings)
    label_autoencoder: LabelAutoencoderSettings = field(default_factory=LabelAutoencoderSettings)
    mask_diffusion: MaskDiffusionSettings = field(default_factory=MaskDiffusionSettings)
    mask_detail: MaskDetailSettings = field(default_factory=MaskDetailSettings)
    image_autoencoder: ImageAutoencoderSettings = field(default_factory=ImageAutoencoderSettings)
    image_diffusion: ImageDiffusionSettings = field(default_factory=ImageDiffusionSettings)

    def check_split(self, dataset: LabelScheme, where: str) -> None:
        """Refuse a split that cannot be; arguments and errors as for :meth:`check`, the scheme is the dataset's."""
        for name, classes in self.split.items():
            try:
                dataset.id_of(name)
            except LabelError as error:
                raise ConfigurationError(f"{where}, split: {error}") from None
            if not 2 <= classes <= MOST_CLASSES:
                raise ConfigurationError(f"{where}, split.{name}: is {classes}; allowed: 2 to {MOST_CLASSES}")

    def check(self, scheme: LabelScheme, where: str) -> None:
        """Refuse what a stage would stumble over after hours.

        Args:
            scheme: the generator's.
            where: the file of the settings, which errors name.

        Raises:
            ConfigurationError: names the setting.
        """
        if not self.controls:
            raise ConfigurationError(f"{where}, controls: is empty; name structures or groups whose volumes to ask for")
        if repeated := sorted({name for name in self.controls if self.controls.count(name) > 1}):
            raise ConfigurationError(f"{where}, controls: {', '.join(repeated)} more than once; name each once")
        if other := sorted(set(self.limits_ml) - set(self.controls)):
            raise ConfigurationError(f"{where}, limits_ml: {', '.join(other)} is no control; add it to controls")
        if self.bank.label_variants < 1:
            raise ConfigurationError(f"{where}, bank.label_variants: is 0; the mask stage needs 1 or more")
        named = {
            "controls": self.controls,
            "limits_ml": self.limits_ml,
            "sampling.thin": self.sampling.thin,
            "sampling.one_piece": self.sampling.one_piece,
        }
        for key, names in named.items():
            try:
                for name in names:
                    scheme.resolve(name)
            except LabelError as error:
                raise ConfigurationError(f"{where}, {key}: {error}") from None
        ranges = {f"limits_ml.{name}": limits for name, limits in self.limits_ml.items()}
        if self.bank.volume_range_ml is not None:
            ranges["bank.volume_range_ml"] = self.bank.volume_range_ml
        for name, multiple in (("label_autoencoder", 2), ("image_autoencoder", 4), ("image_diffusion", 4)):
            crop = getattr(self, name).batch.crop
            if any(edge < multiple or edge % multiple for edge in crop):
                raise ConfigurationError(
                    f"{where}, {name}.batch.crop: is {list(crop)}; multiples of {multiple} are needed"
                )
        for key, (low, high) in ranges.items():
            if not 0 < low < high:
                raise ConfigurationError(f"{where}, {key}: is {low:g} to {high:g} mL; two volumes, 0 < low < high")

    def like(self, config: GuidedLDMConfig, *, masks: bool = False) -> FitSettings:
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
        shares = {
            "label_autoencoder": self.label_autoencoder.stage.share,
            "mask_diffusion": self.mask_diffusion.stage.share,
            **{f"mask_detail_{level}": self.mask_detail.stage.share for level in range(DETAIL_LEVELS)},
            "image_autoencoder": self.image_autoencoder.stage.share,
            "image_diffusion": self.image_diffusion.stage.share,
        }
        if not masks:
            shares = {name: shares[name] for name in ("image_autoencoder", "image_diffusion")}
        return {name: budget_seconds * share / sum(shares.values()) for name, share in shares.items()}
