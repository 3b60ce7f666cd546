"""Settings of the samplers of a guided LDM, checked and brought to one form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from synthaug.errors import ConfigurationError

MOST_STEPS = 1000
LARGEST_SCALE = 20.0
SHIFTS = (0.01, 100.0)


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

    Raises:
        ConfigurationError: a value of another type or out of range.
    """

    mask_steps: int = 20
    image_steps: int = 10
    guidance_scale: float = 4.0
    guidance_interval: tuple[float, float] = (0.1, 1.0)
    mask_shift: float = 1.0
    image_shift: float = 1.0

    def __post_init__(self) -> None:
        values: dict[str, Any] = {
            "mask_steps": _steps("mask_steps", self.mask_steps),
            "image_steps": _steps("image_steps", self.image_steps),
            "guidance_scale": _number("guidance_scale", self.guidance_scale, 0.0, LARGEST_SCALE),
            "guidance_interval": _interval("guidance_interval", self.guidance_interval),
            "mask_shift": _number("mask_shift", self.mask_shift, *SHIFTS),
            "image_shift": _number("image_shift", self.image_shift, *SHIFTS),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _steps(name: str, value: Any) -> int:
    if (
        not _is_number(value)
        or not (isinstance(value, Integral) or value == int(value))
        or not 1 <= value <= MOST_STEPS
    ):
        raise ConfigurationError(f"sampling.{name} is {value!r}; it must be a whole number between 1 and {MOST_STEPS}")
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
