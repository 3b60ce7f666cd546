"""Parts of an evaluation: each adds figures to one result, sections to one report and pictures to one folder."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthaug.diagnosis.versions import versions_in_use
from synthaug.errors import ConfigurationError, StoreError
from synthaug.files.atomic import replace_file
from synthaug.files.canonical_json import canonical_json

if TYPE_CHECKING:
    from synthaug.cli.pair_look import LookWishes, PairLook
    from synthaug.evaluation.control import ControlReport
    from synthaug.evaluation.label_maps import LabelMaps
    from synthaug.evaluation.real_cases import MeasuredCase
    from synthaug.generators.guided_ldm import GuidedLDM
    from synthaug.generators.protocol import PairGenerator
    from synthaug.labels import LabelMapping, LabelScheme
    from synthaug.reports.evaluation_page import EvaluationPage, SeenPairs
    from synthaug.schedules import VolumeSchedule
    from synthaug.store import CaseEntry, Store
    from synthaug.volumes import CaseRecord
    from synthaug.volumes.grid import Grid

PAIRS_IN_PICTURE = 8


@dataclass(frozen=True)
class ControlPlan:
    """Unfiltered pairs to measure volume control on.

    Attributes:
        num: pairs for each schedule.
        seed: the same seed makes the same pairs.
        extrapolate: allow volumes beyond what the generator was trained for.
    """

    num: int
    seed: int
    extrapolate: bool


@dataclass
class EvaluationParts:
    """One evaluation.

    Attributes:
        out: folder of tables and pictures, made when the first of them is written.
        real: real label maps to compare with: nnU-Net raw datasets or folders of NIfTI files; may be empty.
        mapping: from their scheme to the generator's; None where they are the same.
        wishes: what is looked at in the pairs.
        quiet: no progress.
        options: values of those that the command line gives, for the report.
        result: figures so far, JSON-ready.
        evaluated: what was evaluated, for the report: facts by name.
    """

    out: Path
    real: Sequence[Path]
    mapping: LabelMapping | None
    wishes: LookWishes
    quiet: bool
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    evaluated: dict[str, str] = field(default_factory=dict)
    _page: EvaluationPage | None = field(default=None, init=False, repr=False)

    @property
    def page(self) -> EvaluationPage:
        """The report so far."""
        from synthaug.reports.evaluation_page import EvaluationPage

        if self._page is None:
            self._page = EvaluationPage()
        return self._page

    def add_cache(self, cache: Path) -> None:
        """Control and volumes of a cache's pairs: they have passed quality control, the generator's own are worse."""
        from synthaug.cli.progress import track
        from synthaug.evaluation.volume_table import VolumeTable

        store = open_whole_cache(cache)
        entries = store.entries()
        real = self._measure_real(store.info.scheme)
        table = VolumeTable([entry.realised_ml for entry in entries], [one.volumes_ml for one in real])
        look = self._look_at_cache(store, entries)
        self.out.mkdir(parents=True, exist_ok=True)
        found = self.result["generated"] = {
            "cache": str(cache),
            "generator": store.info.generator,
            "generator_sha256": store.info.fingerprint,
            "cases": len(entries),
            "attempts": sum(entry.attempts for entry in entries),
            "rejects": dict(store.rejects),
            "real_cases": len(table.real),
            "control": self._add_cache_control(entries, look),
            "volumes": table.to_dict(),
            "note": "the pairs of a cache have passed quality control; --control measures a generator unfiltered",
        }
        if self.wishes.any:
            for entry in track(entries, "looking at pairs", quiet=self.quiet):
                look.add(entry.name, store.read(entry.name))
            look.report(self.out / "cache_worst_anatomy.png", found)
        rejected = ", ".join(f"{reason} {count}" for reason, count in found["rejects"].items())
        self.evaluated |= {
            "cache": str(cache),
            "made by": f"{store.info.generator}, sha256 {store.info.fingerprint}",
            "pairs": f"{len(entries)}, from {found['attempts']} attempts; rejected: {rejected or 'none'}",
        }
        self.page.add_pairs(found, look.seen, "pairs of the cache")

    def _look_at_cache(self, store: Store, entries: Sequence[CaseEntry]) -> PairLook:
        """Looks at pairs of a cache by the volume that most of them were asked for."""
        from synthaug.reports.evaluation_page import SeenPairs
        from synthaug.volumes.grid import Grid

        first = store.read(entries[0].name)
        grid = Grid(first.label.shape, first.spacing_mm)
        asked = sorted({name for entry in entries for name in entry.requested_ml})
        most = max(asked, key=lambda name: sum(name in entry.requested_ml for entry in entries), default=None)
        return self._look(first.scheme, first.channels, grid, store.info.training_cases)(SeenPairs(store.read), most)

    def _add_cache_control(self, entries: Sequence[CaseEntry], look: PairLook) -> dict[str, Any]:
        """Control of each structure or group that was asked for, in figures and as a picture."""
        from synthaug.evaluation.control import ControlPoint, ControlReport
        from synthaug.reports.control_picture import draw_control

        controls = {}
        for name in sorted({name for entry in entries for name in entry.requested_ml}):
            points = tuple(
                ControlPoint(entry.name, entry.requested_ml[name], entry.realised_ml[name])
                for entry in entries
                if entry.requested_ml.get(name, 0) > 0
            )
            if points:
                report = ControlReport(name, points)
                controls[name] = report.to_dict()
                draw_control(self.out / f"cache_control_{file_name(name)}.png", report, [])
                self.page.add_control(report, look.seen, unfiltered=False)
        return controls

    def add_control(self, generator: PairGenerator, schedules: Sequence[VolumeSchedule], plan: ControlPlan) -> None:
        """Volume control, one structure or group after the other, each asked for alone."""
        from synthaug.evaluation.control import plan_control
        from synthaug.reports.evaluation_page import SeenPairs
        from synthaug.volumes.grid import Grid

        planned = [plan_control(generator, schedule, **vars(plan)) for schedule in schedules]
        real = self._measure_real(generator.scheme)
        x, y, z = np.linalg.norm(generator.affine[:3, :3], axis=0).tolist()
        grid = Grid(generator.shape, (x, y, z))
        new_look = self._look(generator.scheme, tuple(generator.channels), grid, generator.training_cases)
        self.out.mkdir(parents=True, exist_ok=True)
        self.result["generator"] = {"name": generator.name, "sha256": generator.fingerprint}
        self.evaluated |= {
            "generator": f"{generator.name}, sha256 {generator.fingerprint}",
            "sampled pairs": f"{plan.num} for each of {', '.join(one.structure for one in schedules)}, unfiltered, "
            f"seed {plan.seed}",
        }
        self.result["control"] = {}
        for schedule, requests in zip(schedules, planned, strict=True):
            look = new_look(SeenPairs(), schedule.structure)
            which = f"pairs with {schedule.structure} asked for" if len(schedules) > 1 else ""
            self._add_one_control(generator, schedule, requests, real, plan.seed, look, which)

    def _add_one_control(
        self,
        generator: PairGenerator,
        schedule: VolumeSchedule,
        requests: Sequence[Any],
        real: Sequence[MeasuredCase],
        seed: int,
        look: PairLook,
        which: str,
    ) -> None:
        from synthaug.cli.progress import track
        from synthaug.evaluation.control import ControlReport, sample_control, spread_indices
        from synthaug.evaluation.volume_table import VolumeTable
        from synthaug.reports.control_picture import draw_control

        structure = schedule.structure
        shown = spread_indices([request.condition.targets_ml[structure] for request in requests], PAIRS_IN_PICTURE)
        points, pairs, volumes = [], {}, []
        for index in track(range(len(requests)), f"sampling {structure}", quiet=self.quiet):
            ((point, pair),) = sample_control(generator, requests[index : index + 1])
            points.append(point)
            volumes.append(pair.volumes_ml())
            look.add(point.name, pair)
            if index in shown:
                pairs[index] = pair
        report: ControlReport = ControlReport(structure, tuple(points))
        table = VolumeTable(volumes, [one.volumes_ml for one in real])
        found: dict[str, Any] = {
            **report.to_dict(),
            "schedule": schedule.to_dict(),
            "seed": seed,
            "volumes": table.to_dict(),
        }
        self.result["control"][structure] = found
        stem = file_name(structure)
        look.report(self.out / f"worst_anatomy_{stem}.png", found)
        before = len(self.page.sections)
        self.page.add_control(report, look.seen, unfiltered=True)
        self.page.add_pairs(found, look.seen, which)
        text = "\n".join(line for one in self.page.sections[before:] for line in one.to_markdown())
        draw_control(self.out / f"control_{stem}.png", report, [pairs[index] for index in shown])
        # one by one: hours of sampling are not lost to what comes after them
        replace_file(self.out / f"control_{stem}.json", canonical_json(found).encode())
        replace_file(self.out / f"control_{stem}.md", text.encode(errors="replace"))

    def plan_round_trip(self, generator: PairGenerator, folder: Path) -> Callable[[], None]:
        """Check that a round trip can be made; the result makes it.

        Raises:
            ConfigurationError: a generator without label-map autoencoder, no label maps, or those of another scheme.
        """
        from synthaug.evaluation.label_maps import LabelMaps
        from synthaug.evaluation.real_cases import refuse_other_labels
        from synthaug.generators.guided_ldm import GuidedLDM

        if not isinstance(generator, GuidedLDM):
            raise ConfigurationError(
                f"--round-trip: generator {generator.name!r} has no label-map autoencoder; name one of system "
                "guided-ldm"
            )
        maps = LabelMaps.find(folder, generator.scheme, self.mapping)
        refuse_other_labels(maps.scheme, generator.scheme, f"--round-trip {folder}")
        return lambda: self._add_round_trip(generator, maps)

    def _add_round_trip(self, generator: GuidedLDM, maps: LabelMaps) -> None:
        from synthaug.cli.progress import track
        from synthaug.evaluation.round_trip import reconstruct, summarise
        from synthaug.reports.pair_slices import PairSlices

        slices = {}
        grid = generator.config.grid

        def keep(name: str, before: np.ndarray, after: np.ndarray) -> None:
            slices[name] = tuple(PairSlices.of_label(name, one, generator.scheme, grid) for one in (before, after))

        trips = [
            reconstruct(generator, path, grid, maps.mapping, seen=keep)
            for path in track(maps.paths, "round trip", quiet=self.quiet)
        ]
        report = summarise(generator.scheme, trips)
        self.evaluated["generator"] = f"{generator.name}, sha256 {generator.fingerprint}"
        self.page.add_round_trip(report, slices)
        self.result["generator"] = {"name": generator.name, "sha256": generator.fingerprint}
        self.result["round_trip"] = report.to_dict()

    def write(self) -> str:
        """Write ``evaluation.json``, ``evaluation.md`` and ``report.html``, and give the text."""
        versions = versions_in_use()
        self.result["run"] = {"options": dict(self.options), "versions": versions}
        self.out.mkdir(parents=True, exist_ok=True)
        replace_file(self.out / "evaluation.json", canonical_json(self.result).encode())
        words = [
            word for name, values in self.options.items() for one in values or [""] for word in (name, one) if word
        ]
        about = {
            **self.evaluated,
            "command": shlex.join(["synthaug", "evaluate", *words]),
            "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        }
        page = self.page.to_page(about)
        page.write(self.out / "report.html")
        text = page.to_markdown()
        replace_file(self.out / "evaluation.md", text.encode(errors="replace"))
        return text

    def _look(
        self, scheme: LabelScheme, channels: tuple[str, ...], grid: Grid, fitted_on: Sequence[CaseRecord]
    ) -> Callable[[SeenPairs, str | None], PairLook]:
        from synthaug.cli.pair_look import plan_look

        return plan_look(self.wishes, self.real, self.mapping, (scheme, channels, grid), fitted_on)

    def _measure_real(self, scheme: LabelScheme) -> list[MeasuredCase]:
        from synthaug.evaluation.real_cases import measure_real_cases

        found = measure_real_cases(self.real, scheme, self.mapping)
        self.page.real = found
        if found:
            self.evaluated["real cases"] = f"{len(found)} in {', '.join(str(folder) for folder in self.real)}"
        return found


def open_whole_cache(cache: Path) -> Store:
    """A cache with pairs, none of which lacks a file.

    Raises:
        ConfigurationError: it has no pair.
        StoreError: it is no cache, or a file of a case is missing or truncated.
    """
    from synthaug.store import Store

    store = Store.open(cache)
    entries = store.entries()
    if not entries:
        raise ConfigurationError(f"{cache}: holds no pair; make some with `synthaug precompute --out {cache}`")
    damaged = [entry.name for entry in entries if not store.is_whole(entry.name)]
    if damaged:
        raise StoreError(
            f"{cache}: files of {len(damaged)} case(s) are missing or truncated ({', '.join(damaged[:3])}); "
            f"`synthaug cache verify {cache}` tells more, the same `synthaug precompute` again makes them anew"
        )
    return store


def file_name(structure: str) -> str:
    """A structure's name as part of a file's: data sets name structures as they like, with slashes too."""
    return re.sub(r"[^\w.-]", "_", structure)
