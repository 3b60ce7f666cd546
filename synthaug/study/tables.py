"""Tables of a study, as text and on a page alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from synthaug.reports.page import Section, Table, cell, markdown_table
from synthaug.study.results import StudyResults
from synthaug.study.statistics import EVERY_SIZE, LEAST_CASES, METRICS, Comparison


@dataclass(frozen=True)
class StudyTable:
    """A table of a study.

    Attributes:
        title: heading.
        columns: headings of the columns.
        rows: as many cells each as there are columns.
        text_columns: how many of the first columns hold words.
        note: how to read it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    note: str = ""

    def to_markdown(self) -> list[str]:
        """Lines, with the heading."""
        note = [self.note, ""] if self.note else []
        return [f"## {cell(self.title)}", "", *note, *markdown_table(self.columns, self.rows, self.text_columns), ""]

    def to_section(self) -> Section:
        """Part of a page; the words of a row are its name."""
        columns = (" / ".join(self.columns[: self.text_columns]), *self.columns[self.text_columns :])
        rows = [(" / ".join(row[: self.text_columns]), *row[self.text_columns :]) for row in self.rows]
        return Section(self.title, notes=[self.note] if self.note else [], tables=[Table(columns, rows)])


def study_tables(results: StudyResults) -> list[StudyTable]:
    """All tables that the arms of a study allow; none before a run is done."""
    makers = (_arms, _by_segmenter, _by_size, _comparisons, _by_structure)
    return [table for make in makers for table in make(results)] if results.by_arm else []


def _arms(results: StudyResults) -> Iterator[StudyTable]:
    structure = results.config.structure
    columns = ("segmenter", "arm", "seeds", "Dice", f"{structure}: MAE ± SD of the error (mL)", "bias (mL)",
               "SD of the MAE over seeds (mL)")  # fmt: skip
    rows = []
    for arm in results.by_arm:
        one = results.figures(arm, EVERY_SIZE)
        seeds = f"{one['seeds']} of {len(results.config.seeds)}"
        figures = (shown(one["dice"], 3), _error(one), shown(one["bias_ml"], 2), shown(one["mae_sd_over_seeds_ml"], 2))
        rows.append((arm.segmenter, arm.title, seeds, *figures))
    yield StudyTable("Arms", columns, tuple(rows), text_columns=3)


def _by_segmenter(results: StudyResults) -> Iterator[StudyTable]:
    """Rows of strategies and columns of networks, as the tables of MedGen3D are."""
    segmenters = tuple(results.config.segmenters)
    if len(segmenters) < 2:
        return
    rows = []
    for title in dict.fromkeys(arm.title for arm in results.by_arm):
        of_network = {arm.segmenter: arm for arm in results.by_arm if arm.title == title}
        dice = {name: results.figures(arm, EVERY_SIZE)["dice"] for name, arm in of_network.items()}
        rows.append((title, *(shown(dice.get(name), 3) for name in segmenters)))
    yield StudyTable("Dice by strategy and segmenter", ("arm", *segmenters), tuple(rows))


def _by_size(results: StudyResults) -> Iterator[StudyTable]:
    if len(results.bins) < 2:
        return
    bins = results.bins[1:]
    first = next(iter(results.by_arm))
    counts = [results.figures(first, one)["cases"] for one in bins]
    head = (f"{one.name} ({count} case{'' if count == 1 else 's'})" for one, count in zip(bins, counts, strict=True))
    rows = []
    for arm in results.by_arm:
        found = [results.figures(arm, one) for one in bins]
        rows.append((arm.segmenter, arm.title, *(f"{_error(one)}, {shown(one['bias_ml'], 2)}" for one in found)))
    title = f"MAE ± SD of the error, bias (mL) by true volume of {results.config.structure}"
    yield StudyTable(title, ("segmenter", "arm", *head), tuple(rows), text_columns=2)


def _comparisons(results: StudyResults) -> Iterator[StudyTable]:
    if not results.comparisons:
        return
    tests = tuple(one for words in METRICS.values() for one in (f"{words}: difference", "cases", "p (Holm)"))
    rows = []
    for arm, found in results.comparisons.items():
        baseline = results.baseline_of(arm)
        figures = (cell for one in found for cell in (shown(one.difference, 3, sign=True), _tested_on(one), _p(one)))
        rows.append((arm.segmenter, arm.title, baseline.title if baseline else "-", *figures))
    note = (
        "Wilcoxon's signed-rank test, two-sided, over test cases, each with its mean over the seeds; adjusted after "
        "Holm for all arms of a metric. Cases in which both arms have the same value are dropped from the test; with "
        f"fewer than {LEAST_CASES} that differ no p can be under 0.05, and none is given."
    )
    columns = ("segmenter", "arm", "against", *tests)
    yield StudyTable("Against real cases alone", columns, tuple(rows), text_columns=3, note=note)


def _by_structure(results: StudyResults) -> Iterator[StudyTable]:
    every = {arm: results.figures(arm, EVERY_SIZE)["dice_by_structure"] for arm in results.by_arm}
    names = tuple(dict.fromkeys(name for found in every.values() for name in found))
    if len(names) < 2:
        return
    rows = ((arm.segmenter, arm.title, *(shown(found.get(name), 3) for name in names)) for arm, found in every.items())
    yield StudyTable("Dice by structure", ("segmenter", "arm", *names), tuple(rows), text_columns=2)


def _p(one: Comparison) -> str:
    return f"too few cases ({one.different})" if one.p is None else shown(one.adjusted_p, 4)


def _tested_on(one: Comparison) -> str:
    return str(one.cases) if one.different == one.cases else f"{one.cases}, of which {one.different} differ"


def _error(one: dict[str, Any]) -> str:
    return f"{shown(one['mae_ml'], 2)} ± {shown(one['sd_ml'], 2)}"


def shown(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A figure with so many digits; a dash for none."""
    if value is None:
        return "-"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
