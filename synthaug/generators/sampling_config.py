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
LARGEST_TEMPERATURE = 2.0
LARGEST_FEEDBACK = 10.0
LARGEST_SHIFT = 20.0
MOST_ROUNDS = 20
TOLERANCES = (0.001, 1.0)


@dataclass(frozen=True)
class SamplingConfig:
    """How latents are sampled. Values are brought to their types, so that equal settings have one fingerprint.

    Attributes:
        mask_steps: network evaluations for the coarsest level of the label-map latent.
        detail_steps: network evaluations for each finer level.
        image_steps: network evaluations of the image stage.
        guidance_scale: classifier-free guidance; 1 is the conditional model alone.
        guidance_interval: noise fractions between which guidance is applied (Kynkäänniemi et al. 2024).
        mask_shift: above 1 spends more mask steps at high noise.
        image_shift: the same for the image stage.
        mask_temperature: deviation of the noise that the coarsest level begins from; below 1 heads are more typical and
            more alike.
        detail_temperature: the same for the finer levels; below 1 borders are smoother, 0 gives the most likely detail;
            above 1 there are more folds, and more specks.
        complete_volumes: draw the volumes of the controls that are not asked for, to go with those that are; else they
            are left to the model.
        volume_feedback: share of what the volumes are going to miss that the condition is corrected by at each mask
            step; 0 keeps the condition as it is asked for.
        volume_shift: up to so much is added to the logits of a structure at the decision about each voxel, which moves
            its border by fractions of a voxel towards the volume asked for; 0 decides for the most probable label.
        thin: structures that get, in each neighbourhood, what the coarsest level holds of them: of sheets a voxel
            thin, such as the fluid around the brain, detail keeps less, since elsewhere is always more probable.
        one_piece: structures that are kept in one piece, but for loose pieces of 1.8 % of their voxels in all; what
            else lies apart from the largest piece gets the next most probable label.
        enclosed: structures that are kept within the brain: not at the surface of its envelope.
        anatomy_rounds: corrections, at most, that move borders until the volumes of all structures, and the contacts
            between them, are in the range of the training label maps with such ventricles; 0 leaves them as they come.
        volume_rounds: label maps after the first one, from the same noise, in search of the volumes asked for; 0 takes
            the first as it comes.
        volume_tolerance: relative error of the volumes at which that search ends.

    Raises:
        ConfigurationError: a value of another type or out of range.
    """

    mask_steps: int = 8
    detail_steps: int = 6
    image_steps: int = 8
    guidance_scale: float = 1.0
    guidance_interval: tuple[float, float] = (0.1, 1.0)
    mask_shift: float = 4.0
    image_shift: float = 1.0
    mask_temperature: float = 1.0
    detail_temperature: float = 0.8
    complete_volumes: bool = True
    volume_feedback: float = 1.0
    volume_shift: float = 4.0
    thin: tuple[str, ...] = ()
    one_piece: tuple[str, ...] = ()
    enclosed: tuple[str, ...] = ()
    anatomy_rounds: int = 8
    volume_rounds: int = 0
    volume_tolerance: float = 0.05

    def __post_init__(self) -> None:
        values: dict[str, Any] = {
            "mask_steps": _count("mask_steps", self.mask_steps, 1, MOST_STEPS),
            "detail_steps": _count("detail_steps", self.detail_steps, 1, MOST_STEPS),
            "image_steps": _count("image_steps", self.image_steps, 1, MOST_STEPS),
            "guidance_scale": _number("guidance_scale", self.guidance_scale, 0.0, LARGEST_SCALE),
            "guidance_interval": _interval("guidance_interval", self.guidance_interval),
            "mask_shift": _number("mask_shift", self.mask_shift, *SHIFTS),
            "image_shift": _number("image_shift", self.image_shift, *SHIFTS),
            "mask_temperature": _number("mask_temperature", self.mask_temperature, 0.0, LARGEST_TEMPERATURE),
            "detail_temperature": _number("detail_temperature", self.detail_temperature, 0.0, LARGEST_TEMPERATURE),
            "complete_volumes": _switch("complete_volumes", self.complete_volumes),
            "volume_feedback": _number("volume_feedback", self.volume_feedback, 0.0, LARGEST_FEEDBACK),
            "volume_shift": _number("volume_shift", self.volume_shift, 0.0, LARGEST_SHIFT),
            "thin": _names("thin", self.thin),
            "one_piece": _names("one_piece", self.one_piece),
            "enclosed": _names("enclosed", self.enclosed),
            "anatomy_rounds": _count("anatomy_rounds", self.anatomy_rounds, 0, MOST_ROUNDS),
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


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"sampling.{name} is {value!r}; it must be true or false")
    return value


def _names(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ConfigurationError(f"sampling.{name} is {value!r}; it must be a list of structures, [] for none")
    return tuple(value)


def _interval(name: str, value: Any) -> tuple[float, float]:
    ends = tuple(value) if isinstance(value, list | tuple) else ()
    if len(ends) != 2 or not all(_is_number(end) for end in ends) or not 0 <= ends[0] <= ends[1] <= 1:
        raise ConfigurationError(
            f"sampling.{name} is {value!r}; it must be two rising noise fractions between 0 and 1, such as [0.1, 1.0]"
        )
    return float(ends[0]), float(ends[1])
