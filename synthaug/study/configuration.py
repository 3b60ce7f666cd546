"""What a study compares, and how: one validated tree, as a JSON file has it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from synthaug.configuration import allowed
from synthaug.errors import ConfigurationError, did_you_mean
from synthaug.schedules import MissingVolumes, VolumeSchedule, parse_schedule_or_missing
from synthaug.study.segmenters import NnunetSegmenter, Segmenter, parse_segmenters

Strategy = Literal["real", "synthetic", "mixed", "synthetic-then-real", "mixed-then-real"]
"""Training strategies of MedGen3D (arXiv 2304.04106, experiment 2: E2-1 to E2-5)."""

_GENERATOR_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,59}")
"""Names of generators become names of folders."""


@dataclass(frozen=True)
class GeneratorChoice:
    """Where synthetic pairs come from: a generator, a cache, or several of these.

    Attributes:
        generator: shipped name, folder of weights, ``counterfactual``, ``domain-randomization``, or
            ``python:MODULE:FACTORY``, whose code is run.
        options: of the generator.
        extrapolate: allow target volumes beyond the generator's bounds.
        cache: folder of pairs that are there already.
        blend: weights of other generators of the study, by name.
        mapping: structures of the pairs to those of the data set, as far as names do not tell.
        allow_missing: structures of the data set that the pairs may lack.
    """

    generator: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    extrapolate: bool = False
    cache: Path | None = None
    blend: Mapping[str, float] | None = field(default=None, metadata=allowed(above=0))
    mapping: Mapping[str, str] = field(default_factory=dict)
    allow_missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = [name for name in ("generator", "cache", "blend") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigurationError(f"gives {' and '.join(given) or 'none'} of generator, cache and blend; give one")
        if self.generator is None and (self.options or self.extrapolate):
            raise ConfigurationError(f"options and extrapolate are of a generator, not of a {given[0]}; leave them out")
        if self.blend is not None and not self.blend:
            raise ConfigurationError("blend is empty; name generators of the study with their weights")


@dataclass(frozen=True)
class Transfer:
    """A second data set that each training ends on, and is tested on (MedGen3D, experiment 3: E3-1 to E3-4).

    Attributes:
        dataset: nnU-Net data set, number, name or folder; its labels are those that are learned.
        fold: whose validation cases are tested on.
        test_cases: identifiers that are tested on, instead of a fold.
        switch: progress of the training from which on its cases are learned.
        mapping: structures of the first data set to its own, as far as names do not tell.
        allow_missing: structures of its own that the first data set may lack.
    """

    dataset: int | str
    fold: int | None = field(default=None, metadata=allowed(low=0))
    test_cases: tuple[str, ...] | None = None
    switch: float = field(default=0.5, metadata=allowed(above=0, below=1))
    mapping: Mapping[str, str] = field(default_factory=dict)
    allow_missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", _plain_path(self.dataset))
        check_held_out(self.fold, self.test_cases)


def _plain_path(dataset: int | str) -> int | str:
    """The same text for the same folder, however many slashes it ends with."""
    return os.path.normpath(dataset) if isinstance(dataset, str) and dataset else dataset


_SCHEDULES_HELP = "a list of texts such as uniform:20:120, or an object of such texts by name"


def _parse_schedules(value: Any) -> dict[str, VolumeSchedule | MissingVolumes]:
    """Schedules by name; what stands in a file is read here, so that a study is of its content."""
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        _refuse_repeats("schedules", value)
        value = {one: one for one in value}
    if not isinstance(value, Mapping):
        raise ConfigurationError(_SCHEDULES_HELP)
    found: dict[str, VolumeSchedule | MissingVolumes] = {}
    for name, one in value.items():
        schedule = parse_schedule_or_missing(one)
        if same := [other for other, known in found.items() if known == schedule]:
            raise ConfigurationError(f"{same[0]} and {name} are the same schedule; give it once")
        found[str(name)] = schedule
    return found


@dataclass(frozen=True)
class StudyConfig:
    """A study: the product of its axes, each arm trained for the same number of steps on one grid.

    Attributes:
        dataset: nnU-Net data set, number, name or folder of its raw files.
        fold: whose validation cases are tested on.
        test_cases: identifiers that are tested on, instead of a fold; all other cases are trained on.
        transfer: a second data set that trainings end on and are tested on.
        spacing_mm: voxel edges in mm of the grid that all networks work on, one number or x, y, z (RAS+).
        shape: voxels along x, y, z; None: planned from the cases.
        structure: structure or group whose volume is measured.
        structures: whose Dice is measured; None: all.
        strategies: axis; what is real and what synthetic over the training.
        segmenters: axis; networks with their sizes.
        generators: axis; sources of synthetic pairs, by the names that tables give them.
        schedules: axis; volumes of the pairs, by the names that tables give them; empty: all that each generator
            allows.
        ratios: axis; share of synthetic cases in mixed phases.
        switch: progress at which two-phase strategies go over to real cases.
        num_pairs: pairs made by each generator for each schedule; several numbers are an axis, fewer pairs within more
            where volumes do not depend on how far the training is.
        pair_seed: seed of the pairs.
        real_cases: axis; how many training cases, drawn by seed, smaller sets within larger ones; empty: all.
        seeds: axis; of initial weights, draws and augmentation.
        steps: of each training.
        batch: volumes in a step.
        learning_rate: peak, after a linear warm-up and before a cosine decay.
        augmentation: random affine and elastic deformation, bias field, gamma and noise.
        bin_edges_ml: edges of the sizes that results are told apart by; empty: terciles of the test cases.
        budget_seconds: most training time of a run; one that does not reach its steps is reported and not compared.
    """

    dataset: int | str
    spacing_mm: float | tuple[float, float, float] = field(metadata=allowed(above=0))
    steps: int = field(metadata=allowed(low=1))
    fold: int | None = field(default=None, metadata=allowed(low=0))
    test_cases: tuple[str, ...] | None = None
    transfer: Transfer | None = None
    shape: tuple[int, int, int] | None = field(default=None, metadata=allowed(low=8, high=1024))
    structure: str = "ventricles"
    structures: tuple[str, ...] | None = None
    strategies: tuple[Strategy, ...] = ("real", "mixed")
    segmenters: Mapping[str, Segmenter] = field(
        default_factory=lambda: parse_segmenters(["dynunet"]),
        metadata=allowed(parse=parse_segmenters, help="a list of names, or an object of sizes by name"),
    )
    generators: Mapping[str, GeneratorChoice] = field(default_factory=dict)
    schedules: Mapping[str, VolumeSchedule | MissingVolumes] = field(
        default_factory=dict, metadata=allowed(parse=_parse_schedules, help=_SCHEDULES_HELP)
    )
    ratios: tuple[float, ...] = field(default=(0.5,), metadata=allowed(above=0, below=1))
    switch: float = field(default=0.5, metadata=allowed(above=0, below=1))
    num_pairs: int | tuple[int, ...] = field(default=32, metadata=allowed(low=1))
    pair_seed: int = field(default=0, metadata=allowed(low=0))
    real_cases: tuple[int, ...] = field(default=(), metadata=allowed(low=1))
    seeds: tuple[int, ...] = field(default=(0,), metadata=allowed(low=0, high=2**31))
    batch: int = field(default=2, metadata=allowed(low=1))
    learning_rate: float = field(default=5e-3, metadata=allowed(above=0, high=1))
    augmentation: bool = True
    bin_edges_ml: tuple[float, ...] = field(default=(), metadata=allowed(above=0))
    budget_seconds: float | None = field(default=None, metadata=allowed(above=0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", _plain_path(self.dataset))
        check_held_out(self.fold, self.test_cases)
        for name in ("strategies", "segmenters", "ratios", "seeds", "num_pairs"):
            if not getattr(self, name):
                raise ConfigurationError(f"{name} is empty; give at least one")
        for name in ("strategies", "ratios", "seeds", "real_cases", "structures", "test_cases"):
            _refuse_repeats(name, getattr(self, name) or ())
        _refuse_repeats("num_pairs", self.pair_counts)
        if list(self.bin_edges_ml) != sorted(set(self.bin_edges_ml)):
            raise ConfigurationError(f"bin_edges_ml is {list(self.bin_edges_ml)}; give increasing volumes in mL")
        self._check_generators()
        self._check_nnunet()

    @property
    def grid_spacing_mm(self) -> tuple[float, float, float]:
        """Voxel edges in mm along x, y, z."""
        return (self.spacing_mm,) * 3 if isinstance(self.spacing_mm, (int, float)) else self.spacing_mm

    @property
    def pair_counts(self) -> tuple[int, ...]:
        """Numbers of pairs."""
        return (self.num_pairs,) if isinstance(self.num_pairs, int) else self.num_pairs

    @property
    def uses_pairs(self) -> bool:
        """Whether any strategy needs synthetic pairs."""
        return any(strategy != "real" for strategy in self.strategies)

    def members(self, name: str) -> dict[str, float]:
        """Generators without a blend that a generator of the study consists of, with weights that sum to 1."""
        blend = self.generators[name].blend or {name: 1.0}
        return {member: weight / sum(blend.values()) for member, weight in blend.items()}

    def _check_nnunet(self) -> None:
        for segmenter in self.segmenters.values():
            if not isinstance(segmenter, NnunetSegmenter):
                continue
            if self.steps % segmenter.iterations:
                raise ConfigurationError(
                    f"steps is {self.steps}, no multiple of the {segmenter.iterations} iterations of an nnU-Net epoch; "
                    "change it, or segmenters.nnunet.iterations"
                )
            if self.transfer or any(choice.blend for choice in self.generators.values()) or not self.generators:
                raise ConfigurationError(
                    "segmenter nnunet draws from one cache: it needs a generator and takes neither transfer nor "
                    "blend; leave it out, or them"
                )
            if len(self.pair_counts) > 1:
                raise ConfigurationError(
                    f"num_pairs is {list(self.pair_counts)}, and segmenter nnunet draws from whole caches; give one "
                    "number, or leave nnunet out"
                )

    def _check_generators(self) -> None:
        if self.uses_pairs and not self.generators:
            synthetic = next(one for one in self.strategies if one != "real")
            raise ConfigurationError(f"strategy {synthetic} needs synthetic pairs; name a generator under generators")
        for name, choice in self.generators.items():
            if not _GENERATOR_NAME.fullmatch(name):
                raise ConfigurationError(
                    f"generators has the name {name[:80]!r}; allowed: 1 to 60 letters, digits, '-', '_' and '.', the "
                    "first no '.', since it becomes the name of a folder"
                )
            for member in choice.blend or ():
                found = self.generators.get(member)
                if found is None or found.blend is not None:
                    plain = [one for one, other in self.generators.items() if other.blend is None]
                    raise ConfigurationError(
                        f"generators.{name}.blend names {member!r}{did_you_mean(member, plain)}; allowed: "
                        f"{', '.join(plain) or 'none, since all are blends'}"
                    )


def check_held_out(fold: int | None, test_cases: Sequence[str] | None) -> None:
    """Refuse what does not say which cases are tested on, or says it twice.

    Raises:
        ConfigurationError: both, neither or no case.
    """
    if (fold is None) == (test_cases is None):
        given = "both are" if fold is not None else "neither is"
        raise ConfigurationError(f"fold or test_cases: {given} given; give one of them, so that test cases are known")
    if test_cases is not None and not test_cases:
        raise ConfigurationError("test_cases is empty; name at least one case")


def _refuse_repeats(name: str, values: Sequence[Any]) -> None:
    repeated = sorted({value for value in values if values.count(value) > 1}, key=str)
    if repeated:
        raise ConfigurationError(f"{name}: {', '.join(map(str, repeated))} more than once; give each once")
