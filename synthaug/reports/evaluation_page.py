"""The report of an evaluation as one HTML page: figures with intervals, pairs beside real cases, worst cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from synthaug.evaluation.control import ControlReport, spread_indices
from synthaug.evaluation.intervals import FEWEST_CASES, RESAMPLES, SEED
from synthaug.evaluation.real_cases import MeasuredCase
from synthaug.evaluation.round_trip import RoundTripReport
from synthaug.reports.alignment_section import alignment_lead, alignment_section
from synthaug.reports.control_picture import control_chart
from synthaug.reports.evaluation_sections import (
    anatomy_section,
    control_section,
    counted_pairs,
    interval_text,
    memorisation_section,
    round_trip_section,
    share_text,
    volumes_section,
    wrong_with,
)
from synthaug.reports.fidelity_section import fidelity_section
from synthaug.reports.page import Gallery, Page, Picture, Section
from synthaug.reports.pair_slices import PairSlices
from synthaug.reports.palette import DARK, LIGHT
from synthaug.reports.preview import CONVENTION
from synthaug.volumes import LabeledVolume

PAIRS_SHOWN = 4
WORST_SHOWN = 3
MIRRORED = " (mirrored)"
"""Ends the names of training cases' mirror images in an audit of memorisation."""

Shown = tuple[PairSlices, str, Mapping[str, str]]
"""Slices, the title below them (or "" for the name), and facts to go before their own."""

FOOTNOTES = (
    f"Intervals are of 95 %. Means, medians, slopes and R²: percentile bootstrap over pairs or cases ({RESAMPLES} "
    f"resamples, seed {SEED}); fewer than {FEWEST_CASES} are too few for one. Shares: Wilson's score interval. They "
    "tell how far a figure may be off because few pairs or cases were looked at, not what else may be wrong.",
    "Research use only; not a medical device.",
)


class SeenPairs:
    """Slices of pairs by name: cut as the pairs are seen, or read and cut when they are asked for.

    Args:
        read: gives a pair that was not seen; None: all that are asked for were.
    """

    def __init__(self, read: Callable[[str], LabeledVolume] | None = None) -> None:
        self._read = read
        self._seen: dict[str, PairSlices] = {}

    def add(self, name: str, pair: LabeledVolume) -> None:
        """Keep the slices of a pair, unless it can be read again."""
        if self._read is None:
            self._seen[name] = PairSlices.of(name, pair)

    def __getitem__(self, name: str) -> PairSlices:
        if name not in self._seen and self._read is not None:
            self._seen[name] = PairSlices.of(name, self._read(name))
        return self._seen[name]


@dataclass
class EvaluationPage:
    """A report that grows part by part.

    Attributes:
        real: real cases, to be shown beside pairs.
        lead: what a reader should know at a glance.
        sections: the parts so far.
    """

    real: Sequence[MeasuredCase] = ()
    lead: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def add_control(self, report: ControlReport, seen: SeenPairs, *, unfiltered: bool) -> None:
        """Volume control: a chart, pairs over the range of targets beside real cases as large, the largest errors.

        Args:
            report: the figures.
            seen: the pairs.
            unfiltered: the pairs are as the generator made them; else they have passed quality control.
        """
        facts = report.to_dict()
        chart = Picture(
            control_chart(report, LIGHT),
            f"Realised against requested volume of {report.structure}, and the errors in per cent",
            dark_png=control_chart(report, DARK),
            wide=True,
        )
        worst = sorted(facts["pairs"], key=lambda pair: -abs(pair["error_percent"]))[:WORST_SHOWN]
        errors = [(seen[pair["name"]], "", {"error": f"{pair['error_percent']:+.2f} %"}) for pair in worst]
        beside = ", each before the nearest in volume of the real cases not shown yet" if self.real else ""
        galleries = [
            Gallery("Requested and realised volumes", [chart]),
            slices_gallery(
                f"Pairs over the range of targets{beside}", list(self._beside_real(report, seen)), report.structure
            ),
            slices_gallery("Largest errors", errors, report.structure),
        ]
        section = control_section(facts, galleries, unfiltered=unfiltered)
        self.sections.append(section)
        error, slope = (facts["intervals_95"][key] for key in ("mae_percent", "slope_through_origin"))
        self.lead.append(
            f"{section.title}: mean absolute error {facts['mae_percent']:.2f} % "
            f"({_interval_in_words(error, '.2f')}), slope {facts['slope_through_origin']:.4f} "
            f"({_interval_in_words(slope, '.4f')}), {counted_pairs(facts['count'])}."
        )

    def add_pairs(self, found: Mapping[str, Any], seen: SeenPairs, which: str = "") -> None:
        """Volumes, and what else was looked at: anatomy, fidelity, alignment, memorisation.

        Args:
            found: figures by part, as ``evaluation.json`` has them.
            seen: the pairs.
            which: of several sets of pairs, for the headings.
        """
        self.sections += [
            replace(section, title=f"{section.title}, {which}" if which else section.title)
            for section in self._sections_of_pairs(found, seen)
        ]
        self.lead += _lead_of_pairs(found, which)

    def _sections_of_pairs(self, found: Mapping[str, Any], seen: SeenPairs) -> Iterator[Section]:
        yield volumes_section(found["volumes"])
        if "anatomy" in found:
            cases = found["anatomy"]["label_maps"][:WORST_SHOWN]
            worst = [
                (seen[one["name"]], "", {"badness": f"{one['badness']:.1f}", "wrong": "; ".join(wrong_with(one)[:3])})
                for one in cases
            ]
            yield anatomy_section(found["anatomy"], [slices_gallery("Worst anatomy", worst)])
        if "fidelity" in found:
            cases = found["fidelity"]["samples_by_distance"][:WORST_SHOWN]
            worst = [(seen[one["name"]], "", {"distance": f"{one['distance']:.2f}"}) for one in cases]
            gallery = slices_gallery("Intensities farthest from real ones", worst)
            yield fidelity_section(found["fidelity"], [gallery])
        for one in found.get("alignment", {}).values():
            worst = [
                (seen[pair["name"]], "", {"mean Dice": f"{pair['mean_dice']:.3f}"})
                for pair in one["pairs"][:WORST_SHOWN]
                if pair["mean_dice"] is not None
            ]
            yield alignment_section(one, [slices_gallery("Lowest agreement of image and label map", worst)])
        if "memorisation" in found:
            galleries = [
                slices_gallery(f"Nearest to a training case: {kind}", list(self._beside_training(one["nearest"], seen)))
                for kind, one in found["memorisation"].items()
            ]
            yield memorisation_section(found["memorisation"], galleries)

    def add_round_trip(self, report: RoundTripReport, seen: Mapping[str, tuple[PairSlices, ...]]) -> None:
        """Overlap with the reconstructions, the worst of them in pictures.

        Args:
            report: the figures.
            seen: slices before and after, by name of the case.
        """
        facts = report.to_dict()
        trips = {trip.name: trip for trip in report.trips}
        worst: list[Shown] = [
            (slices, f"{name}, {when}", {"mean Dice": f"{np.nanmean(report.structure_dice(trips[name])):.4f}"})
            for name in report.worst(WORST_SHOWN)
            for slices, when in zip(seen[name], ("before", "after"), strict=True)
        ]
        galleries = [slices_gallery("Lowest mean Dice", worst)] if worst else []
        self.sections.append(round_trip_section(facts, galleries))
        if facts["mean_dice"] is not None:
            interval = _interval_in_words(facts["intervals_95"]["mean_dice"], ".4f")
            self.lead.append(
                f"Round trip: mean Dice {facts['mean_dice']:.4f} ({interval}), {facts['held_out']} label maps."
            )

    def to_page(self, facts: Mapping[str, str]) -> Page:
        """The page; ``facts`` tell what was evaluated and how."""
        return Page("Evaluation", facts, self.sections, self.lead, FOOTNOTES)

    def _beside_real(self, report: ControlReport, seen: SeenPairs) -> Iterator[Shown]:
        """Pairs from the smallest target to the largest, each before the nearest real case that is not shown yet."""
        structure, left = report.structure, [one for one in self.real if report.structure in one.volumes_ml]
        for index in spread_indices([point.requested_ml for point in report.points], PAIRS_SHOWN):
            point = report.points[index]
            yield seen[point.name], "", {}
            if left:
                distances = [abs(one.volumes_ml[structure] - point.realised_ml) for one in left]
                real = left.pop(distances.index(min(distances)))
                yield real_slices(real, structure), f"{real.identifier} (real)", {}

    def _beside_training(self, nearest: Iterable[Mapping[str, Any]], seen: SeenPairs) -> Iterator[Shown]:
        """A sample, then the training case that is nearest to it."""
        known = {one.identifier: one for one in self.real}
        for one in list(nearest)[:WORST_SHOWN]:
            yield seen[one["name"]], "", {"distance": f"{one['distance']:.3f}", "nearest": one["training_case"]}
            identifier = one["training_case"].removesuffix(MIRRORED)
            if identifier in known:
                mirrored = one["training_case"].endswith(MIRRORED) and one["training_case"] not in known
                case = known[identifier]
                yield real_slices(case, mirrored=mirrored), f"{one['training_case']} (training case)", {}


def _lead_of_pairs(found: Mapping[str, Any], which: str) -> Iterator[str]:
    """What a reader should know at a glance of anatomy, alignment and memorisation."""
    of = f", {which}" if which else ""
    if "anatomy" in found:
        share = share_text(found["anatomy"]["shares"]["all"])
        interval = _interval_in_words(found["anatomy"]["intervals_95"]["shares"]["all"], ".1%")
        yield f"Anatomy{of}: {share} of {found['anatomy']['count']} label maps pass in everything ({interval})."
    for one in found.get("alignment", {}).values():
        yield alignment_lead(one, of)
    for kind, one in found.get("memorisation", {}).items():
        interval = _interval_in_words(one["intervals_95"]["copied_share"], ".1%")
        copies = f"{one['copies']} of {one['samples']} count as copies"
        yield f"Memorisation, {kind}{of}: {copies} ({interval} of the share)."


def _interval_in_words(interval: Mapping[str, Any], form: str) -> str:
    return "too few for an interval" if interval["low"] is None else f"95 % interval {interval_text(interval, form)}"


def slices_gallery(title: str, shown: Sequence[Shown], subject: str | None = None) -> Gallery:
    """Slices of pairs, with a title and further facts each, and one legend."""
    colours = {name: colour for slices, _, _ in shown for name, colour in slices.colours.items()}
    what = (subject or "what was asked for, or of the ventricles").replace("_", " ")
    pictures = [slices.picture(title, further) for slices, title, further in shown]
    return Gallery(title, pictures, CONVENTION.format(what), colours)


def real_slices(case: MeasuredCase, subject: str | None = None, *, mirrored: bool = False) -> PairSlices:
    """Slices of a real case, or of its left-right mirror image."""
    pair = case.read()
    if mirrored:
        swap = np.arange(int(pair.label.max(initial=0)) + 1)
        for own, other in pair.scheme.mirror_ids().items():
            if own < len(swap):
                swap[own] = other
        label = swap[pair.label][::-1].astype(np.int16)
        pair = LabeledVolume(pair.image[:, ::-1], label, pair.affine, pair.scheme, pair.channels)
    slices = PairSlices.of(case.identifier, pair, subject)
    volume = {subject: f"{case.volumes_ml[subject]:.2f} mL"} if subject in case.volumes_ml else dict(slices.facts)
    return PairSlices(case.identifier, slices.views, slices.scheme, {**volume, "folder": case.folder.name})
