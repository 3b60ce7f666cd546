"""The requests that a cache is to answer, numbered and drawn so that everybody draws the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError, shortened
from synthaug.generators.protocol import PairGenerator
from synthaug.quality import QualityConfig
from synthaug.schedules import Constant, LogUniform, Uniform, VolumeSchedule
from synthaug.store import case_name

MOST_PAIRS = 1_000_000
"""Of one run: all its requests are listed and checked before the first pair is made."""
SEED_BITS = 53
"""Of a pair's seed: every JSON reader keeps them exactly."""
_SEED_STREAM = 1
"""Keeps the stream of seeds apart from the stream of volumes."""


@dataclass(frozen=True)
class Request:
    """One case to be made.

    Attributes:
        index: its number, from 0.
        condition: target volumes in mL.
        seed: seed of the first attempt.
        name: the name of the case that answers it.
    """

    index: int
    condition: Condition
    seed: int
    name: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form, as it stands in the case's provenance."""
        return {"condition": self.condition.to_dict(), "seed": self.seed}


def request_seed(seed: int, index: int) -> int:
    """The seed of request ``index``, of `SEED_BITS` bits."""
    words = np.random.SeedSequence([seed, index, _SEED_STREAM]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(64 - SEED_BITS))


def check_number(num: int, seed: int) -> None:
    """Refuse a number of pairs, or a seed of all, that is out of range.

    Raises:
        ConfigurationError: it is.
    """
    if not 1 <= num <= MOST_PAIRS:
        raise ConfigurationError(
            f"num is {shortened(num)}; allowed are 1 to {MOST_PAIRS:,} pairs at a time: ask for more with other seeds"
        )
    if seed < 0:
        raise ConfigurationError(f"seed is {seed}; it must be 0 or more")


def configuration_digest(options: Mapping[str, Any], quality: QualityConfig) -> str:
    """sha256 (hex) of the generator's options and of the limits of quality control."""
    described = json.dumps([dict(options), quality.digest()], sort_keys=True, default=str)
    return hashlib.sha256(described.encode()).hexdigest()


def check_ends(generator: PairGenerator, schedule: Uniform, *, extrapolate: bool = False) -> None:
    """Refuse a range whose ends the generator does not allow, whatever is drawn of it.

    Raises:
        LabelError: the generator has no such structure.
        BoundsError: an end is out of bounds.
    """
    generator.scheme.resolve(schedule.structure)
    for end_ml in (schedule.low_ml, schedule.high_ml):
        generator.bounds.check(Condition({schedule.structure: end_ml}, extrapolate=extrapolate))


def plan_requests(
    generator: PairGenerator,
    schedule: VolumeSchedule,
    *,
    num: int,
    seed: int = 0,
    quality: QualityConfig | None = None,
    options: Mapping[str, Any] | None = None,
    extrapolate: bool = False,
) -> list[Request]:
    """The requests of a run.

    Request i asks for the volume that the schedule draws at progress (i + 0.5) / num with the random generator of
    (seed, i). A schedule that does not move with progress gives the same first requests whatever ``num`` is, so that a
    larger ``num`` only adds cases.

    Args:
        generator: gives fingerprint and bounds.
        schedule: of target volumes in mL.
        num: how many.
        seed: of the whole run.
        quality: limits; they decide which attempt is kept and so belong to a case's name.
        options: the generator's options; they belong to a case's name.
        extrapolate: allow targets outside the generator's bounds.

    Raises:
        LabelError: the generator's scheme lacks the schedule's structure.
        BoundsError: a target is outside the generator's bounds and ``extrapolate`` is off; nothing has been made then.
        ConfigurationError: ``num`` or ``seed`` is out of range.
    """
    configuration = configuration_digest(options or {}, quality or QualityConfig())
    drawn = draw_conditions(generator, schedule, num=num, seed=seed, extrapolate=extrapolate)
    return [
        Request(index, condition, own_seed, case_name(generator.fingerprint, configuration, condition, own_seed))
        for index, (condition, own_seed) in enumerate(drawn)
    ]


def draw_conditions(
    generator: PairGenerator,
    schedule: VolumeSchedule | None,
    *,
    num: int,
    seed: int,
    extrapolate: bool = False,
    targets_ml: Mapping[str, float] | None = None,
) -> list[tuple[Condition, int]]:
    """Condition and seed of each pair, drawn in one way wherever pairs are asked for; all are checked first.

    Args:
        generator: gives bounds.
        schedule: of a volume in mL, drawn for pair ``i`` with the random generator of ``(seed, i)``; None: of none.
        num: how many.
        seed: of all.
        extrapolate: allow targets outside the generator's bounds.
        targets_ml: further volumes, the same in each pair.

    Raises:
        LabelError: the generator's scheme lacks a structure or group.
        BoundsError: a target is outside the generator's bounds and ``extrapolate`` is off.
        ConfigurationError: ``num`` or ``seed`` is out of range.
    """
    check_number(num, seed)
    fixed = dict(targets_ml or {})
    for name in (*fixed, *([] if schedule is None else [schedule.structure])):
        generator.scheme.resolve(name)
    drawn = []
    for index in range(num):
        wanted = dict(fixed)
        if schedule is not None:
            rng = np.random.default_rng([seed, index])
            wanted[schedule.structure] = float(schedule.draw((index + 0.5) / num, rng))
        condition = Condition(wanted, extrapolate=extrapolate)
        generator.bounds.check(condition)
        drawn.append((condition, request_seed(seed, index)))
    return drawn


def default_schedule(generator: PairGenerator) -> VolumeSchedule:
    """For training: uniform over all volumes that a generator allows of ventricles or, without them, of its first
    control. Large ones, which training sets lack, are as many as small ones.
    """
    structure, low, high = _allowed_range(generator)
    return Uniform(low, high, structure) if low < high else Constant(low, structure)


def control_schedule(generator: PairGenerator) -> VolumeSchedule:
    """For measuring control: log-uniform over the same range, since errors are relative to the volume."""
    structure, low, high = _allowed_range(generator)
    return LogUniform(low, high, structure) if 0 < low < high else default_schedule(generator)


def _allowed_range(generator: PairGenerator) -> tuple[str, float, float]:
    limits = generator.bounds.limits_ml
    if not limits:
        raise ConfigurationError(
            f"{generator.name}: states no volume that can be asked for, so that none can be chosen; give a schedule"
        )
    structure = "ventricles" if "ventricles" in limits else next(iter(limits))
    return structure, *limits[structure]
