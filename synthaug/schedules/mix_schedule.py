"""The share of synthetic cases over the course of training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthaug.errors import BoundsError, ConfigurationError, did_you_mean
from synthaug.schedules.progress import check_progress

PRESETS = {
    "real": "real: real cases only",
    "synthetic": "synthetic: synthetic cases only",
    "mixed": "mixed:FRACTION: that share is synthetic, 0.5 by default",
    "synthetic-then-real": "synthetic-then-real:SWITCH: synthetic up to that progress, 0.5 by default, then real",
    "mixed-then-real": "mixed-then-real:FRACTION:SWITCH: mixed up to that progress, 0.5 and 0.5 by default, then real",
}
"""The training strategies of MedGen3D (arXiv 2304.04106, section 3.3), in words."""


@dataclass(frozen=True)
class MixSchedule:
    """Maps training progress to the share of synthetic cases.

    Attributes:
        stages: ``(until, fraction)``: the share holds from the end of the stage before up to, not including, progress
            ``until``; the last ``until`` is 1 and includes it.
        name: the text or preset that it was read from.

    Raises:
        BoundsError: a share outside 0 to 1, or stages that do not increase to 1.
    """

    stages: tuple[tuple[float, float], ...]
    name: str = "custom"

    def __post_init__(self) -> None:
        stages = tuple((float(until), float(fraction)) for until, fraction in self.stages)
        object.__setattr__(self, "stages", stages)
        for _, fraction in stages:
            if not 0 <= fraction <= 1:
                raise BoundsError(
                    f"ratio {fraction:g}; allowed: the share of synthetic cases, 0 (real only) to 1 (synthetic only)"
                )
        ends = [until for until, _ in stages]
        if not ends or ends[-1] != 1 or any(not low < high for low, high in zip([0.0, *ends], ends, strict=False)):
            raise BoundsError(f"ratio: stages end at {ends}; allowed: increasing numbers above 0, the last one 1")

    def fraction(self, progress: float) -> float:
        """Share of synthetic cases, 0 to 1, at a progress from 0 to 1.

        Raises:
            BoundsError: the progress is outside 0 to 1.
        """
        check_progress(progress)
        return next(fraction for until, fraction in self.stages if progress < until or until == 1)

    @property
    def mean_fraction(self) -> float:
        """Share of synthetic cases over the whole training."""
        starts = [0.0, *(until for until, _ in self.stages)]
        return sum(fraction * (until - start) for start, (until, fraction) in zip(starts, self.stages, strict=False))

    @property
    def is_constant(self) -> bool:
        """Whether the share is the same at any progress."""
        return len({fraction for _, fraction in self.stages}) == 1

    @property
    def is_real(self) -> bool:
        """Whether no case is synthetic at any progress."""
        return not any(fraction for _, fraction in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `parse_mix` reads it back."""
        return {
            "name": self.name,
            "stages": [{"until": until, "fraction": fraction} for until, fraction in self.stages],
        }


def parse_mix(value: MixSchedule | str | float | Mapping[str, Any]) -> MixSchedule:
    """Read a mix schedule.

    Args:
        value: a schedule (returned as it is), a share (``0.5``, ``"0.5"``), a preset (see `PRESETS`), or the dictionary
            of `MixSchedule.to_dict`.

    Raises:
        ConfigurationError: no such preset, or a dictionary of another form.
        BoundsError: a share or a switch outside 0 to 1.
    """
    if isinstance(value, MixSchedule):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return MixSchedule(((1.0, float(value)),), f"mixed:{value:g}")
    if isinstance(value, Mapping):
        return _from_dict(value)
    if isinstance(value, str):
        return _from_text(value.strip())
    raise ConfigurationError(f"ratio {value!r}; allowed: {_allowed()}")


def _from_text(text: str) -> MixSchedule:
    number = _number(text)
    if number is not None:
        return parse_mix(number)
    preset, *words = text.split(":")
    numbers = [_number(word) for word in words]
    most = {"real": 0, "synthetic": 0, "mixed": 1, "synthetic-then-real": 1, "mixed-then-real": 2}.get(preset)
    if most is None or len(numbers) > most or None in numbers:
        raise ConfigurationError(f"ratio {text!r}{did_you_mean(preset, PRESETS)}; allowed: {_allowed()}")
    given = [one for one in numbers if one is not None]
    defaults = [0.5, 0.5]
    first, second = given + defaults[len(given) :]
    if preset in ("synthetic-then-real", "mixed-then-real"):
        switch = first if preset == "synthetic-then-real" else second
        if not 0 < switch < 1:
            raise BoundsError(f"ratio {text!r}: switches at progress {switch:g}; allowed: above 0 and below 1")
        return MixSchedule(((switch, 1.0 if preset == "synthetic-then-real" else first), (1.0, 0.0)), text)
    return MixSchedule(((1.0, {"real": 0.0, "synthetic": 1.0}.get(preset, first)),), text)


def _from_dict(content: Mapping[str, Any]) -> MixSchedule:
    unknown = sorted(set(content) - {"name", "stages"})
    try:
        stages = tuple((float(stage["until"]), float(stage["fraction"])) for stage in content["stages"])
    except (KeyError, TypeError, ValueError):
        unknown.append("stages")
        stages = ()
    if unknown:
        raise ConfigurationError(
            f"ratio: {', '.join(unknown)} is wrong; "
            "allowed: {'stages': [{'until': 0.5, 'fraction': 0.8}, ...]}, 'name'"
        )
    return MixSchedule(stages, str(content.get("name", "custom")))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _allowed() -> str:
    return "a share from 0 to 1, or " + "; ".join(PRESETS.values())
