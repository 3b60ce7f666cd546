"""Systems that can be fitted: the settings of each, how a plan completes them, and its fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from synthaug.fitting.alpha_wgan_fit import AlphaWGANFit, AlphaWGANSettings, alpha_wgan_settings
from synthaug.fitting.generator_fit import GeneratorFit
from synthaug.fitting.guided_ldm import GuidedLDMFit
from synthaug.fitting.guided_ldm_plan import guided_ldm_settings
from synthaug.fitting.guided_ldm_settings import GuidedLDMSettings
from synthaug.fitting.sequence_fit import DDPM2DFit, MedGen3DFit, Vid2VidFit
from synthaug.fitting.sequence_settings import SequenceSettings, sequence_settings
from synthaug.fitting.settings import FitSettings
from synthaug.generators.registry import refuse_unfitted


@dataclass(frozen=True)
class FittedSystem:
    """A system whose weights are fitted.

    Attributes:
        settings: class of its settings.
        complete: its settings from those of a plan and the number of classes, the background included.
        fit: class of its fit.
        learns_label_maps: whether it learns from label maps without images, and from warped ones.
    """

    settings: type[FitSettings]
    complete: Callable[[FitSettings, int], FitSettings]
    fit: type[GeneratorFit[Any, Any]]
    learns_label_maps: bool = True


SYSTEMS = {
    "guided-ldm": FittedSystem(GuidedLDMSettings, guided_ldm_settings, GuidedLDMFit),
    "medgen3d": FittedSystem(SequenceSettings, sequence_settings, MedGen3DFit),
    "vid2vid": FittedSystem(SequenceSettings, sequence_settings, Vid2VidFit),
    "alpha-wgan": FittedSystem(AlphaWGANSettings, alpha_wgan_settings, AlphaWGANFit, learns_label_maps=False),
    "ddpm2d": FittedSystem(SequenceSettings, sequence_settings, DDPM2DFit),
}
"""By name."""


def find_system(name: str) -> FittedSystem:
    """A system by its name.

    Raises:
        ConfigurationError: there is none, or it has no weights.
    """
    refuse_unfitted(name)
    return SYSTEMS[name]
