"""Synthetic pairs of a study: made once for each generator and schedule, or taken from a cache that is there."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.configuration import config_to_dict
from synthaug.errors import (
    AmbiguousMappingError,
    BoundsError,
    ConfigurationError,
    LabelError,
    StoreError,
    SynthAugError,
)
from synthaug.files.atomic import replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.generators.cases import CasePaths
from synthaug.generators.registry import draws_from_cases, refuse_reserved_options
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.labels import LabelMapping, LabelScheme, propose_mapping
from synthaug.precomputing import ProgressLine, plan_requests, precompute
from synthaug.precomputing.factory import load_named_generator
from synthaug.precomputing.processes import Share
from synthaug.precomputing.requests import default_schedule
from synthaug.schedules import MissingVolumes, VolumeSchedule
from synthaug.sources.volume_index import VolumeIndex
from synthaug.store import CaseEntry, Store, StoreInfo
from synthaug.study.bookkeeping import read_kept
from synthaug.study.configuration import GeneratorChoice, StudyConfig
from synthaug.volumes.channels import match_channels

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator

logger = logging.getLogger(__name__)

LEAST_COVERAGE = 0.9
"""Of a schedule's draws, within the volumes of given pairs; below it the report tells how much is missing."""

_NONE = 1e-6


@dataclass(frozen=True)
class PairCache:
    """The pairs of one generator with one schedule.

    Attributes:
        name: of the generator in the study.
        choice: what makes them; no blend.
        schedule: that pairs are made by, or None for all that the generator allows; where runs draw what their real
            cases lack, pairs of the whole range.
        drawn: schedule that a run draws by.
        schedule_name: what the study calls it.
        num: pairs asked for.
        seed: of the pairs.
        dataset: that the generator may draw cases from.
        cases: of it that it may draw from: training cases only.
        parent: folder of the caches of the study.
    """

    name: str
    choice: GeneratorChoice
    schedule: VolumeSchedule | None
    drawn: VolumeSchedule | None
    schedule_name: str
    num: int
    seed: int
    dataset: NnunetDataset
    cases: tuple[CasePaths, ...]
    parent: Path

    @classmethod
    def of(
        cls,
        config: StudyConfig,
        name: str,
        schedule: str | None,
        dataset: NnunetDataset,
        cases: tuple[CasePaths, ...],
        parent: Path,
        *,
        num: int | None = None,
        drawn: VolumeSchedule | None = None,
    ) -> PairCache:
        """The cache of a generator of the study.

        Without ``num``, it has the study's number of pairs; without ``drawn``, runs draw by what pairs are made by.
        """
        choice = config.generators[name]
        drawn_from = cases if choice.generator and draws_from_cases(choice.generator, choice.options) else ()
        wanted = None if schedule is None else config.schedules[schedule]
        made_by = wanted.target if isinstance(wanted, MissingVolumes) else wanted
        words = schedule or "all volumes"
        return cls(
            name, choice, made_by, drawn or made_by, words, num or config.pair_counts[0], config.pair_seed, dataset,
            drawn_from, parent,
        )  # fmt: skip

    @cached_property
    def folder(self) -> Path:
        """Where the pairs are."""
        return self.choice.cache if self.choice.cache is not None else self.parent / self.key

    @cached_property
    def key(self) -> str:
        """Name by what determines the pairs."""
        described = {
            **config_to_dict(self.choice),
            "schedule": None if self.schedule is None else self.schedule.to_dict(),
            "seed": self.seed,
            "cases": [one.identifier for one in self.cases],
        }
        return f"{self.name}-{hashlib.sha256(canonical_json(described).encode()).hexdigest()[:10]}"

    @property
    def where(self) -> str:
        """What errors name."""
        return f"generators.{self.name}"

    def head(self, device: str) -> StoreInfo:
        """Scheme, channels and training cases of the pairs, which may not be made yet.

        Raises:
            SynthAugError: no such generator or cache, volumes that the generator does not allow, or a schedule that
                the pairs of a given cache cannot follow; names the generator.
        """
        with self._named():
            if self._is_made or self.choice.cache is not None:
                store = Store.open(self.folder)
                self._coverage(self._entries(store))
                return store.info
            generator = self._load(device)
            extrapolate = self.choice.extrapolate
            plan_requests(generator, self._requested(generator), num=self.num, seed=self.seed, extrapolate=extrapolate)
            return StoreInfo.of(generator)

    def make(self, device: str, share: Share) -> None:
        """Make what is missing, together with whatever other processes do so.

        Raises:
            ConfigurationError: no pair passes quality control.
        """
        if self._is_made or self.choice.cache is not None:
            return
        with self._named():
            self._make(device, share)

    def _make(self, device: str, share: Share) -> None:
        generator = self._load(device)
        store = Store.open_or_create(self.folder, StoreInfo.of(generator))
        logger.info("%s: %d pairs for %s", self.where, self.num, self.schedule_name)
        schedule = self._requested(generator)
        wanted: dict[str, Any] = {
            "num": self.num,
            "seed": self.seed,
            "options": self.choice.options,
            "extrapolate": self.choice.extrapolate,
        }
        progress = ProgressLine() if share.is_main else None
        summary = precompute(generator, store, schedule=schedule, share=share, on_progress=progress, **wanted)
        if not summary.stored:
            raise ConfigurationError(f"{self.where}: no pair passes quality control ({summary}); take other options")
        if not summary.complete:
            logger.warning("%s: %s", self.where, summary)
        stored = set(store.names())
        pairs = sorted(one.name for one in plan_requests(generator, schedule, **wanted) if one.name in stored)
        replace_file(self._marker, canonical_json({"pairs": pairs, "summary": summary.to_dict()}).encode())

    def open(self) -> tuple[Store, list[CaseEntry]]:
        """The store, and those of its pairs that the study uses.

        Raises:
            StoreError: not a cache.
            ConfigurationError: it holds no pair, or none with the scheduled structure.
        """
        store = Store.open(self.folder)
        return store, self._entries(store)

    def notes(self) -> tuple[str, ...]:
        """What readers of the results are to know of the pairs."""
        _, entries = self.open()
        share = self._coverage(entries)
        if share >= LEAST_COVERAGE:
            return ()
        low, high = self._range_ml(entries)
        return (
            f"{self.where}: {share:.0%} of schedule {self.schedule_name} lies within the volumes of its pairs, "
            f"{low:.4g} to {high:.4g} mL; the rest is not drawn.",
        )

    def mapping(self, info: StoreInfo, target: LabelScheme, further: dict[str, str]) -> LabelMapping:
        """From the structures of the pairs to those that are learned.

        Args:
            info: of the pairs.
            target: structures that are learned.
            further: decided for pairs with the labels of the first data set.

        Raises:
            ConfigurationError: names do not tell, or pairs lack a structure.
        """
        decided = dict(self.choice.mapping)
        if info.scheme.names == self.dataset.scheme.names:
            decided = further | decided
        return decided_mapping(info.scheme, target, decided, self.choice.allow_missing, self.where)

    def channel_order(self, info: StoreInfo, channels: Sequence[str]) -> tuple[int, ...]:
        """Channel of the pairs for each channel that is learned.

        Raises:
            ConfigurationError: they have others.
        """
        try:
            return match_channels(channels, info.channels)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.where}: {error}") from None

    @property
    def _marker(self) -> Path:
        """Tells which pairs of the folder are those of this number: more may have been made, for other arms."""
        return self.parent / f"{self.key}-{self.num}.json"

    @property
    def _is_made(self) -> bool:
        pairs = self._made_pairs()
        try:
            return bool(pairs) and pairs <= set(Store.open(self.folder).names())  # some may have been lost since
        except StoreError:
            return False

    def _made_pairs(self) -> set[str]:
        try:
            return set(read_kept(self._marker)["pairs"])
        except (KeyError, TypeError):  # not there, or damaged
            return set()

    def _entries(self, store: Store) -> list[CaseEntry]:
        entries = store.entries()
        if self.choice.cache is None:
            made = self._made_pairs()
            entries = [one for one in entries if one.name in made]
        if not entries:
            mend = (
                "give a cache with pairs" if self.choice.cache is not None else "run the study again to have them made"
            )
            raise ConfigurationError(f"{self.where}: {self.folder} holds no pair; {mend}")
        if self.schedule is not None and self.schedule.structure not in entries[0].realised_ml:
            raise ConfigurationError(
                f"{self.where}: its pairs have no volume of {self.schedule.structure!r}, which is scheduled; known are "
                f"{', '.join(sorted(entries[0].realised_ml))}"
            )
        if self.choice.cache is not None and len(entries) < self.num:
            logger.warning("%s: %s holds %d pairs of %d", self.where, self.folder, len(entries), self.num)
        return entries[: self.num]  # of a given cache: names come from a hash, the first ones are any

    def _range_ml(self, entries: Sequence[CaseEntry]) -> tuple[float, float]:
        assert self.schedule is not None
        volumes = [one.realised_ml[self.schedule.structure] for one in entries]
        return min(volumes), max(volumes)

    def _coverage(self, entries: Sequence[CaseEntry]) -> float:
        """Share of the schedule that pairs of a given cache can follow, where they follow it least; 1 without one.

        Raises:
            ConfigurationError: at some progress of the training, nothing of it.
        """
        if self.choice.cache is None or self.drawn is None:
            return 1.0
        index = VolumeIndex([one.name for one in entries], [one.realised_ml[self.drawn.structure] for one in entries])
        share = min(index.coverage(self.drawn, progress) for progress in self.drawn.phases)
        if share < _NONE:
            low, high = self._range_ml(entries)
            raise ConfigurationError(
                f"{self.where}: schedule {self.schedule_name} draws no volume of its pairs, {low:.4g} to {high:.4g} mL "
                f"of {self.drawn.structure}; give a schedule within, or a cache of other volumes"
            )
        return share

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Errors say which generator of the study they are about, and mends are those that a study has."""
        try:
            yield
        except BoundsError as error:
            text = str(error)
            if "--extrapolate" in text:
                text = f'{text.rpartition(";")[0]}; change schedules, or set "extrapolate": true under {self.where}'
            raise BoundsError(f"{self.where}: {text}") from error
        except SynthAugError as error:
            if str(error).startswith(self.where):
                raise
            raise ConfigurationError(f"{self.where}: {error}") from error

    def _load(self, device: str) -> PairGenerator:
        assert self.choice.generator is not None
        drawn: dict[str, Any] = {}
        if self.cases:
            drawn = {"cases": list(self.cases), "scheme": self.dataset.scheme, "channels": self.dataset.channels}
        refuse_reserved_options(self.choice.options)
        for key in drawn:
            if key in self.choice.options:
                raise ConfigurationError(f"{self.where}.options.{key}: the study says which cases; leave it out")
        return load_named_generator(self.choice.generator, device=device, **drawn, **self.choice.options)

    def _requested(self, generator: PairGenerator) -> VolumeSchedule:
        return self.schedule or default_schedule(generator)


def decided_mapping(
    source: LabelScheme, target: LabelScheme, decided: dict[str, str], allow_missing: Sequence[str], where: str
) -> LabelMapping:
    """The mapping that a part of the study leads to.

    Raises:
        ConfigurationError: names do not tell, or what is decided names what neither scheme has.
    """
    try:
        return propose_mapping(source, target, decided=decided, allow_missing=allow_missing)
    except AmbiguousMappingError as error:
        raise ConfigurationError(
            f"{where}: {error}; under {where}.mapping; what may be missing goes under {where}.allow_missing"
        ) from None
    except LabelError as error:
        raise ConfigurationError(f"{where}.mapping: {error}") from None
