"""All cases of a study: found, compared with each other, and brought to one grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from synthaug.errors import ConfigurationError, GeometryError, LabelError, did_you_mean
from synthaug.files.canonical_json import canonical_json
from synthaug.fitting.case_checks import check_count
from synthaug.fitting.case_form import numbered
from synthaug.generators.cases import CasePaths
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.leakage import refuse_leaks
from synthaug.schedules import MissingVolumes, VolumeSchedule
from synthaug.store import CaseEntry, Store
from synthaug.study.arms import FROM_SCRATCH, Arm
from synthaug.study.case_survey import CaseFacts, common_scales, plan_grid, refuse_cut, survey_cases
from synthaug.study.configuration import StudyConfig
from synthaug.study.grid_case import GridCase, GridForm, Shelf
from synthaug.study.held_out import HeldOut, refuse_repeated_tests
from synthaug.study.lessons import Lessons, PairPool
from synthaug.study.pair_cache import PairCache, decided_mapping
from synthaug.study.workspace import SURVEY_FILES
from synthaug.volumes import CaseRecord, LabeledVolume, read_label, read_pair, structure_volumes_ml
from synthaug.volumes.geometry import voxel_volume_ml
from synthaug.volumes.grid import Grid


@dataclass(frozen=True)
class StudyData:
    """The real cases of a study.

    Attributes:
        config: the study.
        folder: of the study's results.
        first: the data set that generators and strategies are about.
        last: the data set whose labels are learned and that is tested on; ``first`` itself without a transfer.
    """

    config: StudyConfig
    folder: Path
    first: HeldOut
    last: HeldOut

    @classmethod
    def find(cls, config: StudyConfig, folder: Path) -> StudyData:
        """Find the cases, and check all that needs none of them read.

        Raises:
            SynthAugError: no such data set, case or structure, or labels that do not fit each other.
        """
        first = HeldOut.of(config)
        found = cls(config, folder, first, HeldOut.of(config.transfer) if config.transfer else first)
        scheme = found.last.dataset.scheme
        check_count(scheme, found.last.dataset.name)
        for name, key in ((config.structure, "structure"), *((one, "structures") for one in config.structures or ())):
            known = (*scheme.groups, *scheme.names)
            if name not in known:
                raise LabelError(
                    f"{key}: {found.last.dataset.name} has no structure or group {name!r}{did_you_mean(name, known)}; "
                    f"it has {', '.join(known)}"
                )
        for count in config.real_cases:
            first.subset(count, 0)
        if config.transfer and first.dataset.name == found.last.dataset.name:
            raise ConfigurationError(
                f"transfer.dataset: is {first.dataset.name}, as dataset is; give another data set, or no transfer"
            )
        if len(first.dataset.channels) != len(found.last.dataset.channels):
            raise ConfigurationError(
                f"transfer.dataset: {found.last.dataset.name} has {len(found.last.dataset.channels)} channel(s), "
                f"{first.dataset.name} {len(first.dataset.channels)}; give a data set with as many"
            )
        _ = found.first_mapping  # refuses labels that do not fit
        return found

    @cached_property
    def scheme(self) -> LabelScheme:
        """Structures that are learned, with ids from 1 to N."""
        return numbered(self.last.dataset.scheme)

    @cached_property
    def first_mapping(self) -> LabelMapping:
        """From the labels of the first data set to those that are learned."""
        transfer = self.config.transfer
        source = self.first.dataset.scheme
        if transfer is None:
            return _same_names(source, self.scheme)
        return decided_mapping(source, self.scheme, dict(transfer.mapping), transfer.allow_missing, "transfer")

    def survey(self, progress: Callable[[int, int], None] | None = None) -> SurveyedData:
        """Read every case once, and refuse test cases that occur among the training cases, or twice.

        Args:
            progress: called with how many are read, and how many there are.

        Raises:
            LeakageError: names them.
            SynthAugError: a file cannot be read.
        """
        facts: dict[str, dict[str, CaseFacts]] = {}
        for held, name in zip(dict.fromkeys((self.first, self.last)), SURVEY_FILES, strict=False):
            cases = (*held.training, *held.test)
            facts[held.dataset.name] = survey_cases(held.dataset, cases, self.folder / name, progress)
        surveyed = SurveyedData(self, facts)
        refuse_repeated_tests(surveyed.test_records, self.last.dataset.name)
        for held in dict.fromkeys((self.first, self.last)):
            records = surveyed.training_records(held)
            if held is not self.last:  # another data set may give other subjects the same names
                records = [_prefixed(one, held) for one in records]
            where = f"training cases of {held.dataset.name}"
            surveyed.refuse_leaks({where: records})
        return surveyed


@dataclass(frozen=True)
class SurveyedData:
    """The cases once each was read.

    Attributes:
        data: the cases.
        facts: by name of the data set and identifier.
    """

    data: StudyData
    facts: Mapping[str, Mapping[str, CaseFacts]]

    def facts_of(self, held: HeldOut, case: CasePaths) -> CaseFacts:
        """What is known of a case."""
        return self.facts[held.dataset.name][case.identifier]

    def training_records(self, held: HeldOut) -> list[CaseRecord]:
        """Content of the training cases of a data set."""
        return [self.facts_of(held, one).record for one in held.training]

    @cached_property
    def test_records(self) -> list[CaseRecord]:
        """Content of the test cases."""
        return [self.facts_of(self.data.last, one).record for one in self.data.last.test]

    @cached_property
    def grid(self) -> Grid:
        """The grid of all networks."""
        spacing = self.data.config.grid_spacing_mm
        if self.data.config.shape is not None:
            return Grid(self.data.config.shape, spacing)
        return plan_grid([one for facts in self.facts.values() for one in facts.values()], spacing)

    @cached_property
    def shelves(self) -> dict[str, Shelf]:
        """Cases on the grid, by data set: each scales intensities with a unit by its own training cases."""
        shelves = {}
        for held in (self.data.first, self.data.last):
            training = [self.facts_of(held, one) for one in held.training]
            scales = common_scales(training, held.dataset.channels)
            shelves[held.dataset.name] = Shelf(
                self.data.folder / "prepared", GridForm(self.grid, self.data.scheme, scales)
            )
        return shelves

    def check_shape(self) -> None:
        """Refuse a given shape that cuts off what is labelled in a case.

        Raises:
            GeometryError: names the case and the shape that is needed.
        """
        if self.data.config.shape is not None:
            for facts in self.facts.values():
                refuse_cut(facts, self.grid)

    def identity(self) -> dict[str, list[dict[str, Any]]]:
        """Content of all cases, JSON-ready."""
        return {
            name: [facts.content for _, facts in sorted(of_dataset.items())]
            for name, of_dataset in sorted(self.facts.items())
        }

    def real_case(self, held: HeldOut, case: CasePaths) -> GridCase:
        """A real case on the grid."""
        dataset = held.dataset
        of_last = held is self.data.last
        mapping = _same_names(dataset.scheme, self.data.scheme) if of_last else self.data.first_mapping
        content = canonical_json(self.facts_of(held, case).content, indent=None)

        def read() -> LabeledVolume:
            return read_pair(case.images, case.label, dataset.scheme, dataset.channels)

        return self.shelves[dataset.name].get(case.identifier, content, mapping, read)

    def test_cases(self) -> list[GridCase]:
        """The test cases on the grid."""
        return [self.real_case(self.data.last, one) for one in self.data.last.test]

    def training_cases(self) -> Iterator[GridCase]:
        """The training cases of the data set whose labels are learned, on the grid, one by one."""
        return (self.real_case(self.data.last, one) for one in self.data.last.training)

    def caches(self, arm: Arm, seed: int) -> list[tuple[float, PairCache]]:
        """The caches that an arm draws from, with weights that sum to 1."""
        if arm.generator is None:
            return []
        config, first = self.data.config, self.data.first
        cases = first.subset(arm.real_cases, seed)
        parent = self.data.folder / "caches"
        drawn = self._drawn(arm, seed)
        return [
            (
                weight,
                PairCache.of(config, name, arm.schedule, first.dataset, cases, parent, num=arm.num_pairs, drawn=drawn),
            )
            for name, weight in config.members(arm.generator).items()
        ]

    def _drawn(self, arm: Arm, seed: int) -> VolumeSchedule | None:
        """What the pairs of a run are drawn by: what is missing is told from the real cases that it trains on.

        Raises:
            LabelError: the first data set does not have the structure.
        """
        wanted = None if arm.schedule is None else self.data.config.schedules[arm.schedule]
        if not isinstance(wanted, MissingVolumes):
            return wanted
        if arm.strategy == "synthetic":  # no real case that anything could be missing beside
            return wanted.target
        cases = self.data.first.subset(arm.real_cases, seed)
        real_ml = [self._volume_ml(one, wanted.structure) for one in cases]
        return wanted.beside(real_ml, arm.mix(self.data.config.switch).mean_fraction)

    def _volume_ml(self, case: CasePaths, structure: str) -> float:
        """Of a real case of the first data set, in its own voxels."""
        key = case.identifier, structure
        if key not in self._volumes_ml:
            scheme = self.data.first.dataset.scheme
            scheme.resolve(structure)
            label, affine = read_label(case.label, scheme)
            volumes_ml = structure_volumes_ml(label, scheme, voxel_volume_ml(affine))
            self._volumes_ml[key] = round(volumes_ml[structure], 4)  # the same on every machine
        return self._volumes_ml[key]

    @cached_property
    def _volumes_ml(self) -> dict[tuple[str, str], float]:
        """What was measured, by case and structure."""
        return {}

    def refuse_leaks(self, learned_from: Mapping[str, Sequence[CaseRecord]]) -> None:
        """Refuse what was made from a test case.

        Args:
            learned_from: records, by what the error is to name them.

        Raises:
            LeakageError: names it and the cases.
        """
        refuse_leaks(
            learned_from,
            self.test_records,
            whose=f"test cases of {self.data.last.dataset.name}",
            mend="take another one, or other test cases",
        )

    def check_pairs(self, cache: PairCache, device: str) -> None:
        """Refuse pairs that stem from a test case, or that do not fit the labels and channels that are learned.

        Raises:
            LeakageError: names the generator and the cases.
            ConfigurationError: names the generator and what it lacks.
        """
        info = cache.head(device)
        seen = [_prefixed(one, self.data.first) if self._is_of_first(one) else one for one in info.training_cases]
        self.refuse_leaks({cache.where: seen})
        mapping = cache.mapping(info, self.data.scheme, self._decided)
        cache.channel_order(info, self.data.first.dataset.channels)
        if cache.drawn is not None and cache.drawn != cache.schedule:
            try:
                mapping.own_labels(cache.drawn.structure)
            except LabelError as error:
                raise LabelError(f"{cache.where}: {error}") from None

    def _is_of_first(self, record: CaseRecord) -> bool:
        """Whether it is of a case of the first data set that is not tested on, though its name may be tested on."""
        facts = self.facts[self.data.first.dataset.name].get(record.identifier)
        if facts is None or (self.data.first is self.data.last and facts.record in self.test_records):
            return False
        known = (facts.record.image_sha256, facts.record.label_sha256)
        found = (record.image_sha256, record.label_sha256)
        return any(one is not None and one == other for one, other in zip(known, found, strict=True))

    def prepare_pairs(self, cache: PairCache) -> None:
        """Bring all pairs of a cache, which are made already, to the grid.

        Raises:
            SynthAugError: a pair does not fit; names the generator.
        """
        read, names = self._reader(cache)
        for name in names:
            try:
                read(name)
            except GeometryError as error:
                raise GeometryError(f"{cache.where}: pair {error}") from error

    def lessons(self, arm: Arm, seed: int) -> Lessons:
        """What a run is shown; its pairs are made already."""
        config, data = self.data.config, self.data
        transfer = config.transfer
        second: list[GridCase] = []
        switch = 1.0
        if transfer is not None:
            second = list(self.training_cases())
            switch = 0.0 if arm.strategy == FROM_SCRATCH else transfer.switch
        mix = arm.mix(config.switch)
        real: list[GridCase] = []
        if arm.strategy not in (FROM_SCRATCH, "synthetic"):
            real = [self.real_case(data.first, one) for one in data.first.subset(arm.real_cases, seed)]
        pools = [(weight, self._pool(cache)) for weight, cache in self.caches(arm, seed)]
        return Lessons(real, pools, mix, seed, second, switch)

    def _pool(self, cache: PairCache) -> PairPool:
        read, names = self._reader(cache)
        _, entries = cache.open()
        schedule = cache.drawn
        volumes = [one.realised_ml[schedule.structure] if schedule else 0.0 for one in entries]
        return PairPool(names, volumes, schedule, read)

    def _reader(self, cache: PairCache) -> tuple[Callable[[str], GridCase], list[str]]:
        """What gives a pair on the grid by its name, and the names."""
        store, entries = cache.open()
        mapping = cache.mapping(store.info, self.data.scheme, self._decided)
        order = cache.channel_order(store.info, self.data.first.dataset.channels)
        shelf = self.shelves[self.data.first.dataset.name]

        def read(name: str) -> GridCase:
            content = f"{store.info.fingerprint} {name} {order}"
            return shelf.get(name, content, mapping, lambda: _reordered(store.read(name), order))

        return read, [one.name for one in entries]

    @property
    def _decided(self) -> dict[str, str]:
        transfer = self.data.config.transfer
        return dict(transfer.mapping) if transfer else {}


def pair_content(store: Store, entries: Sequence[CaseEntry]) -> list[str]:
    """What tells the pairs of a cache from others: their names follow from generator, condition and seed."""
    return [store.info.fingerprint, *(one.name for one in entries)]


def _prefixed(record: CaseRecord, held: HeldOut) -> CaseRecord:
    """Another data set may give other subjects the same names."""
    return replace(record, identifier=f"{held.dataset.name}/{record.identifier}")


def _same_names(source: LabelScheme, target: LabelScheme) -> LabelMapping:
    return LabelMapping(source, target, {name: name for name in source.names})


def _reordered(pair: LabeledVolume, order: tuple[int, ...]) -> LabeledVolume:
    channels = tuple(pair.channels[index] for index in order)
    return replace(pair, image=pair.image[list(order)], channels=channels)
