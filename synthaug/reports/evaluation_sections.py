"""The parts of an evaluation's report, from the figures that ``evaluation.json`` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthaug.evaluation.anatomy_report import SHARE_TITLES
from synthaug.reports.page import Gallery, Section, Table

Facts = Mapping[str, Any]

INTERVAL = "95 % interval"
FIGURE_COLUMNS = ("figure", "value", INTERVAL, "n")
CONTROL_FIGURES = (
    # key, title, format, unit
    ("slope_through_origin", "slope through the origin", ".4f", ""),
    ("slope", "slope (ordinary least squares)", ".4f", ""),
    ("intercept_ml", "intercept", "+.3f", " mL"),
    ("r_squared", "R² (ordinary least squares)", ".4f", ""),
    ("r_squared_identity", "R² (against y = x)", ".4f", ""),
    ("mae_ml", "mean absolute error", ".3f", " mL"),
    ("mae_percent", "mean absolute error", ".2f", " %"),
    ("bias_ml", "mean error", "+.3f", " mL"),
    ("bias_percent", "mean error", "+.2f", " %"),
    ("largest_error_percent", "largest error", ".2f", " %"),
    ("seconds_per_pair", "time a pair", ".2f", " s"),
)


def counted_pairs(count: int) -> str:
    """``1 pair``, ``2 pairs``."""
    return f"{count} pair" if count == 1 else f"{count} pairs"


def control_section(facts: Facts, galleries: Sequence[Gallery], *, unfiltered: bool) -> Section:
    """Requested and realised volumes of one structure or group; the pairs with the largest errors come first.

    Args:
        facts: the figures, as ``evaluation.json`` has them.
        galleries: pictures.
        unfiltered: the pairs are as the generator made them; else they have passed quality control.
    """
    count, intervals = facts["count"], facts["intervals_95"]
    rows = [
        _figure_row(title, facts[key], form, unit, intervals, key, count) for key, title, form, unit in CONTROL_FIGURES
    ]
    if unfiltered:
        rows.append(
            _figure_row(
                "quality control would reject", facts["rejected_share"], ".1%", "", intervals, "rejected_share", count
            )
        )
    tables = [Table(FIGURE_COLUMNS, rows)]
    if facts["reject_reasons"]:
        reasons = [(reason, str(number)) for reason, number in facts["reject_reasons"].items()]
        tables.append(Table(("reason to reject", "pairs"), reasons))
    worst_first = sorted(facts["pairs"], key=lambda pair: -abs(pair["error_percent"]))
    pairs = [
        (
            pair["name"],
            f"{pair['requested_ml']:.2f}",
            f"{pair['realised_ml']:.2f}",
            f"{pair['error_percent']:+.2f}",
            "; ".join(pair["failures"]) or "-",
        )
        for pair in worst_first
    ]
    columns = ("pair", "requested, mL", "realised, mL", "error, %", "reasons to reject")
    tables.append(
        Table(columns, pairs, f"All of {counted_pairs(count)}, the largest error first", folded=True, prose=True)
    )
    low, high = facts["requested_range_ml"]
    origin = "They were made once each, and none was left out." if unfiltered else "They have passed quality control."
    asked = f"{counted_pairs(count)}, {low:.1f} to {high:.1f} mL of {facts['structure']} asked for. {origin}"
    where = "" if unfiltered else ", pairs of the cache"
    return Section(f"Control of {facts['structure']}{where}", (asked,), tables, galleries)


def volumes_section(table: Facts) -> Section:
    """Structure volumes of generated and real label maps."""
    sets = [one for one in ("generated", "real") if one in next(iter(table.values()))]
    columns = ["structure"]
    for one in sets:
        columns += [f"{one}: mean ± SD, mL", INTERVAL, "range, mL", "n"]
    rows = []
    for name, row in table.items():
        cells = [name]
        for one in sets:
            found = row[one]
            cells += [
                f"{found['mean_ml']:.2f} ± {found['sd_ml']:.2f}",
                interval_text(row["intervals_95"][f"{one}_mean_ml"], ".2f"),
                f"{found['min_ml']:.2f} to {found['max_ml']:.2f}",
                str(found["count"]),
            ]
        rows.append(cells)
    note = (
        "Intervals are of the means. Generated volumes follow the targets, so their means are not to equal real ones."
    )
    return Section("Structure volumes", (note,), (Table(columns, rows),))


def anatomy_section(facts: Facts, galleries: Sequence[Gallery]) -> Section:
    """Shares of label maps that pass, left against right, and what is wrong with the worst."""
    intervals = facts["intervals_95"]
    rows = []
    for key, share in facts["shares"].items():
        real = facts["real_shares"].get(key)
        rows.append(
            (
                SHARE_TITLES[key],
                value_text(share, ".1%"),
                interval_text(intervals["shares"][key], ".1%"),
                value_text(real, ".1%"),
                interval_text(intervals["real_shares"].get(key), ".1%"),
            )
        )
    columns = (
        "label maps with",
        f"generated (n = {facts['count']})",
        INTERVAL,
        f"real (n = {facts['real']})",
        INTERVAL,
    )
    tables = [Table(columns, rows)]
    if facts["asymmetry"]:
        tables.append(_asymmetry_table(facts["asymmetry"]))
    worst = [
        (case["name"], f"{case['badness']:.1f}", "; ".join(wrong_with(case)) or "nothing")
        for case in facts["label_maps"]
    ]
    caption = f"All {facts['count']} label maps, the worst first"
    tables.append(Table(("label map", "badness", "what is wrong"), worst, caption, folded=True, prose=True))
    notes = ["Real brains are measured in the same way, each against the range of the others."]
    if not facts["real"]:
        notes = ["No real label maps were given: volumes and contacts are not looked at."]
    return Section("Anatomy", notes, tables, galleries)


def wrong_with(case: Facts) -> list[str]:
    """Faults of a label map, then its volumes and contacts out of range, the farthest first."""
    beyond = [f"{what} ({excess:.1f} times its range)" for what, excess in case["out_of_range"].items()]
    return [*case["faults"], *beyond]


def _asymmetry_table(asymmetry: Facts) -> Table:
    rows = []
    for name, row in asymmetry.items():
        cells = [name]
        for one in ("generated", "real"):
            found = row.get(one)
            cells += (
                [f"{found['mean']:+.3f} ± {found['sd']:.3f}", interval_text(found["intervals_95"]["mean"], "+.3f")]
                if found
                else ["-", "-"]
            )
        rows.append([*cells, value_text(row.get("ks_distance"), ".3f"), value_text(row.get("ks_p"), ".3f")])
    columns = ("left structure", "generated", INTERVAL, "real", INTERVAL, "KS distance", "p")
    return Table(columns, rows, "Left against right, (L - R) / (L + R): mean ± SD, interval of the mean")


def memorisation_section(facts: Facts, galleries: Sequence[Gallery]) -> Section:
    """Distances to the nearest training case, of samples and of real cases that were held out."""
    rows, nearest = [], []
    for kind, found in facts.items():
        intervals = found["intervals_95"]
        rows.append(
            (
                kind,
                str(found["training_cases"]),
                f"{found['held_out_distances']['median']:.3f}",
                f"{interval_text(intervals['held_out_median'], '.3f')} (n = {found['held_out_cases']})",
                f"{found['threshold']:.3f}",
                f"{found['sample_distances']['median']:.3f}",
                f"{interval_text(intervals['sample_median'], '.3f')} (n = {found['samples']})",
                f"{found['copies']} ({value_text(found['copied_share'], '.1%')})",
                interval_text(intervals["copied_share"], ".1%"),
                _among_training_text(found),
            )
        )
        nearest += [
            (f"{one['name']} ({kind})", one["training_case"], f"{one['distance']:.3f}") for one in found["nearest"]
        ]
    columns = (
        "kind", "training cases", "held-out cases: median", INTERVAL, "threshold", "samples: median", INTERVAL,
        "copies", f"{INTERVAL} of the share", "nearer than any two training cases",
    )  # fmt: skip
    note = (
        "Distance to the nearest training case, mirror images included. A copy is nearer than the threshold, the first "
        "percentile of the held-out cases; it has no interval of its own, and is uncertain where few cases were held "
        "out. The last column is about the training cases' distances to each other, the least of which is in brackets."
    )
    tables = (
        Table(columns, rows),
        Table(("sample", "nearest training case", "distance"), nearest, "The samples nearest to a training case"),
    )
    return Section("Memorisation", (note,), tables, galleries)


def _among_training_text(found: Facts) -> str:
    nearer = found["nearer_than_training_cases"]
    return "-" if nearer is None else f"{nearer} ({found['training_distances']['least']:.3f})"


def round_trip_section(facts: Facts, galleries: Sequence[Gallery]) -> Section:
    """Dice overlap and volume errors after the label-map autoencoder."""
    overall = _figure_row(
        "mean Dice over structures",
        facts["mean_dice"],
        ".4f",
        "",
        facts["intervals_95"],
        "mean_dice",
        facts["held_out"],
    )
    rows = [
        (
            name,
            value_text(one["dice"], ".4f"),
            interval_text(one["intervals_95"]["dice"], ".4f"),
            value_text(one["volume_error_percent"], ".2f"),
            interval_text(one["intervals_95"]["volume_error_percent"], ".2f"),
            str(one["intervals_95"]["dice"]["count"]),
        )
        for name, one in facts["by_structure"].items()
    ]
    notes = [f"{facts['held_out']} label maps that the generator was not fitted on, and their reconstructions."]
    if facts["fitted_on"]:
        notes.append(f"Left out of the figures, since it was fitted on them: {', '.join(facts['fitted_on'])}.")
    columns = ("structure or group", "Dice", INTERVAL, "volume error, %", INTERVAL, "n")
    tables = (Table(FIGURE_COLUMNS, [overall]), Table(columns, rows))
    return Section("Round trip through the label-map autoencoder", notes, tables, galleries)


def interval_text(interval: Facts | None, form: str) -> str:
    """``0.98 to 1.02``; says so where there are too few cases, and ``-`` where there is nothing to have an interval."""
    if interval is None or interval["count"] == 0:
        return "-"
    if interval["low"] is None:
        return "too few"
    return range_text((interval["low"], interval["high"]), form)


def share_text(share: float) -> str:
    """``98.5 %``."""
    return value_text(share, ".1%")


def range_text(ends: Sequence[float] | None, form: str) -> str:
    """``0.98 to 1.02``; ``-`` where there is none."""
    return "-" if ends is None else f"{value_text(ends[0], form)} to {value_text(ends[1], form)}"


def value_text(value: float | None, form: str, unit: str = "") -> str:
    """``0.98``; ``-`` where there is no value."""
    return "-" if value is None else f"{value:{form}}{unit}".replace("%", " %" if form.endswith("%") else "%")


def _figure_row(
    title: str, value: float | None, form: str, unit: str, intervals: Facts, key: str, count: int
) -> tuple[str, str, str, str]:
    interval = intervals.get(key)
    ends = interval_text(interval, form)
    return title, value_text(value, form, unit), ends, str(interval["count"] if interval else count)
