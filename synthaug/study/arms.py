"""The arms of a study and their runs, without senseless repeats."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from synthaug.configuration import config_to_dict
from synthaug.files.canonical_json import canonical_json
from synthaug.generators.registry import draws_from_cases
from synthaug.schedules import MixSchedule, parse_mix
from synthaug.study.configuration import StudyConfig

FROM_SCRATCH = "from-scratch"
"""In a transfer, the arm that learns nothing before the second data set (MedGen3D E3-1)."""

NAME_DIGITS = 12
FORMAT = 1
"""Changes with whatever changes the result of a run."""


@dataclass(frozen=True)
class Arm:
    """What is compared.

    Attributes:
        segmenter: name of the network.
        strategy: one of the study's, or `FROM_SCRATCH`.
        generator: name in the study, or None where nothing is synthetic.
        schedule: name in the study of the schedule of volumes, or None for all that the generator allows.
        ratio: share of synthetic cases in a mixed phase, or None where there is none.
        real_cases: number of training cases, or None for all, or where none is used.
        num_pairs: number of pairs of each generator, or None where the study has one number for all, or none is drawn.
    """

    segmenter: str
    strategy: str
    generator: str | None = None
    schedule: str | None = None
    ratio: float | None = None
    real_cases: int | None = None
    num_pairs: int | None = None

    @property
    def title(self) -> str:
        """The arm in words, without its segmenter."""
        parts = [self.strategy, self.generator, self.schedule, None if self.ratio is None else f"ratio {self.ratio:g}"]
        parts.append(None if self.num_pairs is None else f"{self.num_pairs} pairs")
        parts.append(None if self.real_cases is None else f"{self.real_cases} real")
        return ", ".join(part for part in parts if part is not None)

    def mix(self, switch: float) -> MixSchedule:
        """Share of synthetic cases over the progress of the training."""
        texts = {
            "synthetic": "synthetic",
            "mixed": f"mixed:{self.ratio}",
            "synthetic-then-real": f"synthetic-then-real:{switch}",
            "mixed-then-real": f"mixed-then-real:{self.ratio}:{switch}",
        }
        return parse_mix(texts.get(self.strategy, "real"))


@dataclass(frozen=True, eq=False)
class Run:
    """One training of an arm.

    Attributes:
        arm: what is trained.
        seed: of initial weights, draws and augmentation.
        identity: all that determines the result, as far as the study says it; JSON-ready.
    """

    arm: Arm
    seed: int
    identity: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of its folder, by content."""
        digest = hashlib.sha256(canonical_json(self.identity, indent=None).encode()).hexdigest()
        return f"{self.arm.segmenter}-{self.arm.strategy}-{digest[:NAME_DIGITS]}"


def plan_arms(config: StudyConfig) -> list[Arm]:
    """The arms: ``real`` once, ``synthetic`` without ratios, and without sizes of a real set that it does not use."""
    strategies = (*([FROM_SCRATCH] if config.transfer else []), *config.strategies)
    arms = (
        replace(arm, segmenter=segmenter, real_cases=size if _uses_cases(config, arm) else None)
        for segmenter in config.segmenters
        for size in config.real_cases or (None,)
        for strategy in strategies
        for arm in _of_strategy(config, strategy)
    )
    return list(dict.fromkeys(arms))


def plan_runs(config: StudyConfig) -> list[Run]:
    """Every arm with every seed; all arms come with the first seed before any with the second."""
    arms = plan_arms(config)
    return [Run(arm, seed, _identity(config, arm, seed)) for seed in config.seeds for arm in arms]


def _of_strategy(config: StudyConfig, strategy: str) -> Iterator[Arm]:
    """Arms by what is synthetic in them."""
    arm = Arm("", strategy)
    if strategy in (FROM_SCRATCH, "real"):
        yield arm
        return
    ratios = config.ratios if strategy.startswith("mixed") else (None,)
    counts = config.pair_counts if len(config.pair_counts) > 1 else (None,)
    for generator, schedule, ratio, count in product(config.generators, config.schedules or (None,), ratios, counts):
        yield replace(arm, generator=generator, schedule=schedule, ratio=ratio, num_pairs=count)


def _uses_cases(config: StudyConfig, arm: Arm) -> bool:
    """Whether the number of real cases of the first data set makes a difference."""
    if arm.strategy == FROM_SCRATCH:
        return False
    if arm.strategy != "synthetic":
        return True
    choices = [config.generators[one] for one in config.members(arm.generator or "")]
    return any(one.generator and draws_from_cases(one.generator, one.options) for one in choices)


def _identity(config: StudyConfig, arm: Arm, seed: int) -> dict[str, Any]:
    whole = config_to_dict(config)
    shared = (
        "dataset", "fold", "test_cases", "transfer", "spacing_mm", "shape", "structure", "structures", "steps", "batch",
        "learning_rate", "augmentation",
    )  # fmt: skip
    schedule = None if arm.schedule is None else config.schedules[arm.schedule].to_dict()
    described = {**asdict(arm), "schedule": schedule}  # its name may be that of a file, which changes
    count = described.pop("num_pairs") or config.pair_counts[0]  # the same run, whether or not others have more
    identity = {"format": FORMAT, "seed": seed, "arm": described, **{name: whole[name] for name in shared}}
    identity["segmenter"] = whole["segmenters"][arm.segmenter]
    if arm.generator is not None:
        identity["mix"] = arm.mix(config.switch).to_dict()
        identity["pairs"] = {"num": count, "seed": config.pair_seed}
        identity["members"] = [
            {"weight": weight, **whole["generators"][name]} for name, weight in config.members(arm.generator).items()
        ]
    return identity
