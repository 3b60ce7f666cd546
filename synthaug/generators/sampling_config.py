"""Settings of the samplers of a guided LDM, checked and brought to one form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from synthaug.errors import ConfigurationError

MOST_STEPS = 1000
LARGEST_SCALE = 20.0
SHIFTS = (0.01, 100.0)
MOST_ROUNDS = 20
TOLERANCES = (0.001, 1.0)


@dataclass(frozen=True)
class SamplingConfig:
    """How latents are sampled. Values are brought to their types, so that equal settings have one fingerprint.

    Attributes:
        mask_steps: network evaluations of the mask stage.
        image_steps: network evaluations of the image stage.
        guidance_scale: classifier-free guidance; 1 is the conditional model alone.
        guidance_interval: noise fractions between which guidance is applied (Kynkäänniemi et al. 2024).
        mask_shift: above 1 spends more mask steps at high noise.
        image_shift: the same for the image stage.
        volume_rounds: label maps after the first one, from the same noise, in search of the volumes asked for; 0 takes
            the first as it comes.
        volume_tolerance: relative error of the volumes at which that search ends.

    Raises:
        ConfigurationError: a value of another type or out of range.
    """

    mask_steps: int = 20
    image_steps: int = 10
    guidance_scale: float = 4.0
    guidance_interval: tuple[float, float] = (0.1, 1.0)
    mask_shift: float = 1.0
    image_shift: float = 1.0
    volume_rounds: int = 0
    volume_tolerance: float = 0.05

    def __post_init__(self) -> None:
        values: dict[str, Any] = {
            "mask_steps": _count("mask_steps", self.mask_steps, 1, MOST_STEPS),
            "image_steps": _count("image_steps", self.image_steps, 1, MOST_STEPS),
            "guidance_scale": _number("guidance_scale", self.guidance_scale, 0.0, LARGEST_SCALE),
            "guidance_interval": _interval("guidance_interval", self.guidance_interval),
            "mask_shift": _number("mask_shift", self.mask_shift, *SHIFTS),
            "image_shift": _number("image_shift", self.image_shift, *SHIFTS),
            "volume_rounds": _count("volume_rounds", self.volume_rounds, 0, MOST_ROUNDS),
            "volume_tolerance": _number("volume_tolerance", self.volume_tolerance, *TOLERANCES),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _count(name: str, value: Any, low: int, high: int) -> int:
    if not _is_number(value) or value != int(value) or not low <= value <= high:
        raise ConfigurationError(f"sampling.{name} is {value!r}; it must be a whole number between {low} and {high}")
    return int(value)


def _number(name: str, value: Any, low: float, high: float) -> float:
    if not _is_number(value) or not low <= value <= high:
        raise ConfigurationError(f"sampling.{name} is {value!r}; it must be a number between {low:g} and {high:g}")
    return float(value)


def _interval(name: str, value: Any) -> tuple[float, float]:
    ends = tuple(value) if isinstance(value, list | tuple) else ()
    if len(ends) != 2 or not all(_is_number(end) for end in ends) or not 0 <= ends[0] <= ends[1] <= 1:
        raise ConfigurationError(
            f"sampling.{name} is {value!r}; it must be two rising noise fractions between 0 and 1, such as [0.1, 1.0]"
        )
    return float(ends[0]), float(ends[1])
