"""Everything that the fits of `medgen3d`, `vid2vid` and `ddpm2d` can be told, in one JSON-able tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synthaug.errors import ConfigurationError
from synthaug.fitting.image_sequence import ImageSequenceBatch
from synthaug.fitting.mask_sequence import MaskSequenceBatch
from synthaug.fitting.settings import FitSettings, divide
from synthaug.fitting.slice_diffusion import SliceDiffusionBatch
from synthaug.fitting.stage import StageSettings
from synthaug.generators.sequence_config import IMAGE_SECTIONS, SequenceSampling
from synthaug.labels import LabelScheme
from synthaug.volumes.views import VIEWS

SLICES, JUDGED_TOGETHER = 6, 3
"""Of a subsequence, and before the sequence discriminator, where the settings do not say."""


@dataclass(frozen=True)
class MaskSequenceSettings:
    """Network, batch and schedule of the diffusion model of label slices."""

    network: dict[str, Any] = field(default_factory=dict)
    batch: MaskSequenceBatch = field(default_factory=MaskSequenceBatch)
    stage: StageSettings = field(default_factory=lambda: StageSettings(share=0.45))


@dataclass(frozen=True)
class ImageSequenceSettings:
    """Network, opponents, batch and schedule of the generator of image slices."""

    network: dict[str, Any] = field(default_factory=dict)
    image_discriminator: dict[str, Any] = field(default_factory=dict)
    sequence_discriminator: dict[str, Any] = field(default_factory=dict)
    batch: ImageSequenceBatch = field(default_factory=ImageSequenceBatch)
    stage: StageSettings = field(
        default_factory=lambda: StageSettings(share=0.25, learning_rate=5e-4, betas=(0.5, 0.99), ema_decay=0.99)
    )


@dataclass(frozen=True)
class SliceDiffusionSettings:
    """Network, batch and schedule of the diffusion model of image slices of each view."""

    network: dict[str, Any] = field(default_factory=dict)
    batch: SliceDiffusionBatch = field(default_factory=SliceDiffusionBatch)
    stage: StageSettings = field(default_factory=lambda: StageSettings(share=0.1))


@dataclass(frozen=True)
class SequenceSettings(FitSettings):
    """How a system that makes label maps slice by slice is fitted; what it has no network for is left aside.

    Attributes:
        sampling: how the finished generator samples.
        mask_sequence: label slices.
        image_sequence: image slices in order.
        slice_diffusion: image slices of each of three views.
    """

    sampling: SequenceSampling = field(default_factory=SequenceSampling)
    mask_sequence: MaskSequenceSettings = field(default_factory=MaskSequenceSettings)
    image_sequence: ImageSequenceSettings = field(default_factory=ImageSequenceSettings)
    slice_diffusion: SliceDiffusionSettings = field(default_factory=SliceDiffusionSettings)

    def check(self, scheme: LabelScheme, where: str) -> None:
        """See :meth:`synthaug.fitting.settings.FitSettings.check`."""
        super().check(scheme, where)
        if any(extent % 16 for extent in self.shape):
            raise ConfigurationError(f"{where}, shape: is {list(self.shape)}; multiples of 16 are needed")
        if any(edge % 8 for edge in self.slice_diffusion.batch.crop):
            raise ConfigurationError(
                f"{where}, slice_diffusion.batch.crop: is {list(self.slice_diffusion.batch.crop)}; multiples of 8 are "
                "needed"
            )
        slices = self.mask_sequence.network.get("slices", SLICES)
        if not isinstance(slices, int) or not 2 <= slices <= self.shape[2]:
            raise ConfigurationError(
                f"{where}, mask_sequence.network.slices: is {slices!r}; allowed: 2 to {self.shape[2]}, the slices of "
                "the field of view"
            )
        together = self.image_sequence.sequence_discriminator.get("slices", JUDGED_TOGETHER)
        if not isinstance(together, int) or not 2 <= together <= self.image_sequence.batch.length:
            raise ConfigurationError(
                f"{where}, image_sequence.batch.length: is {self.image_sequence.batch.length}; the sequence "
                f"discriminator judges {together!r} slices together, so it must be at least as many, and 2 or more"
            )

    def stage_seconds(self, system: str, budget_seconds: float) -> Mapping[str, float]:
        """Training time of each stage of a system."""
        shares = {"mask_sequence": self.mask_sequence.stage.share}
        if "image_sequence" in IMAGE_SECTIONS[system]:
            shares["image_sequence"] = self.image_sequence.stage.share
        if "slice_diffusion" in IMAGE_SECTIONS[system]:
            shares.update({f"slice_diffusion_{view}": self.slice_diffusion.stage.share for view in VIEWS})
        return divide(budget_seconds, shares)


def sequence_settings(planned: FitSettings, classes: int) -> SequenceSettings:
    """Settings with what a plan chose; the number of classes changes none of them."""
    return SequenceSettings(**vars(planned))
