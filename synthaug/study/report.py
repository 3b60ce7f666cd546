"""Tables and pictures of a study."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from synthaug.files.atomic import replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.study.arms import Arm
from synthaug.study.curves import draw_curves
from synthaug.study.results import StudyResults
from synthaug.study.statistics import EVERY_SIZE, LEAST_CASES, METRICS, Comparison


def write_report(folder: Path, results: StudyResults) -> list[Path]:
    """Write ``report.md``, ``report.json``, ``arms.csv``, ``cases.csv`` and, for axes of numbers, curves.

    Args:
        folder: made if it is not there; files in it are replaced.
        results: of the runs that are done.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "report.md": to_markdown(results),
        "report.json": json.dumps(json.loads(canonical_json(results.to_dict())), indent=1) + "\n",
        "arms.csv": _csv(_arm_rows(results)),
        "cases.csv": _csv(_case_rows(results)),
    }
    for name, text in texts.items():
        replace_file(folder / name, text.encode())
    return [*(folder / name for name in texts), *draw_curves(folder, results)]


def to_markdown(results: StudyResults) -> str:
    """All tables."""
    config = results.config
    title = config.transfer.dataset if config.transfer else config.dataset
    lines = [f"# Study of {Path(str(title)).name}", "", *_state(results)]
    if results.by_arm:
        lines += [*_main_table(results), *_strategy_table(results), *_size_table(results)]
        lines += [*_comparison_table(results), *_structure_table(results)]
    return "\n".join(lines) + "\n"


def _state(results: StudyResults) -> list[str]:
    config = results.config
    text = (
        f"{len(results.results)} of {len(results.runs)} runs are done; every training takes {config.steps} steps of "
        f"{config.batch} volumes."
    )
    if results.short:
        text += (
            f" {len(results.short)} run(s) spent their budget before that and are not compared: "
            f"{', '.join(run.name for run in results.short)}."
        )
    return [text, ""]


def _main_table(results: StudyResults) -> list[str]:
    structure = results.config.structure
    head = ["segmenter", "arm", "seeds", "Dice", f"{structure}: MAE ± SD of the error (mL)", "bias (mL)",
            "SD of the MAE over seeds (mL)"]  # fmt: skip
    rows = []
    for arm in results.by_arm:
        one = results.figures(arm, EVERY_SIZE)
        seeds = f"{one['seeds']} of {len(results.config.seeds)}"
        rows.append([arm.segmenter, arm.title, seeds, _shown(one["dice"], 3), _error(one), _shown(one["bias_ml"], 2),
                     _shown(one["mae_sd_over_seeds_ml"], 2)])  # fmt: skip
    return ["## Arms", "", *_table(head, rows, text_columns=3)]


def _strategy_table(results: StudyResults) -> list[str]:
    """Rows of strategies and columns of networks, as the tables of MedGen3D are."""
    segmenters = list(results.config.segmenters)
    if len(segmenters) < 2:
        return []
    rows = []
    for title in dict.fromkeys(arm.title for arm in results.by_arm):
        of_network = {arm.segmenter: arm for arm in results.by_arm if arm.title == title}
        cells = [of_network.get(name) for name in segmenters]
        rows.append([title, *("-" if arm is None else _shown(results.figures(arm, EVERY_SIZE)["dice"], 3)
                              for arm in cells)])  # fmt: skip
    return ["## Dice by strategy and segmenter", "", *_table(["arm", *segmenters], rows)]


def _size_table(results: StudyResults) -> list[str]:
    if len(results.bins) < 2:
        return []
    bins = results.bins[1:]
    first = next(iter(results.by_arm))
    head = [f"{one.name} ({results.figures(first, one)['cases']} cases)" for one in bins]
    rows = []
    for arm in results.by_arm:
        found = [results.figures(arm, one) for one in bins]
        rows.append([arm.segmenter, arm.title, *(f"{_error(one)}, {_shown(one['bias_ml'], 2)}" for one in found)])
    title = f"## MAE ± SD of the error, bias (mL) by true volume of {results.config.structure}"
    return [title, "", *_table(["segmenter", "arm", *head], rows, text_columns=2)]


def _comparison_table(results: StudyResults) -> list[str]:
    if not results.comparisons:
        return []
    head = ["segmenter", "arm", "against", "cases"]
    for words in METRICS.values():
        head += [f"{words}: difference", "p (Holm)"]
    rows = []
    for arm, found in results.comparisons.items():
        baseline = results.baseline_of(arm)
        row = [arm.segmenter, arm.title, baseline.title if baseline else "-", str(found[0].cases)]
        for one in found:
            row += [_shown(one.difference, 3, sign=True), _p(one)]
        rows.append(row)
    note = (
        "Wilcoxon's signed-rank test, two-sided, over test cases, each with its mean over the seeds; adjusted after "
        f"Holm for all arms of a metric. Below {LEAST_CASES} cases no p can be under 0.05, and none is given."
    )
    return ["## Against real cases alone", "", note, "", *_table(head, rows, text_columns=3)]


def _structure_table(results: StudyResults) -> list[str]:
    every = {arm: results.figures(arm, EVERY_SIZE)["dice_by_structure"] for arm in results.by_arm}
    names = list(dict.fromkeys(name for found in every.values() for name in found))
    if len(names) < 2:
        return []
    rows = [[arm.segmenter, arm.title, *(_shown(found.get(name), 3) for name in names)] for arm, found in every.items()]
    return ["## Dice by structure", "", *_table(["segmenter", "arm", *names], rows, text_columns=2)]


def _p(one: Comparison) -> str:
    if one.p is None:
        return f"too few cases ({one.cases})"
    return _shown(one.adjusted_p, 4)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> list[str]:
    rule = "|" + "---|" * text_columns + "---:|" * (len(head) - text_columns)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _error(one: dict[str, Any]) -> str:
    return f"{_shown(one['mae_ml'], 2)} ± {_shown(one['sd_ml'], 2)}"


def _shown(value: float | None, digits: int, *, sign: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def _arm_columns(arm: Arm) -> dict[str, Any]:
    return {key: "" if value is None else value for key, value in vars(arm).items()}


def _arm_rows(results: StudyResults) -> list[dict[str, Any]]:
    rows = []
    for arm in results.by_arm:
        for size in results.bins:
            found = results.figures(arm, size)
            by_structure = {f"dice of {name}": value for name, value in found.pop("dice_by_structure").items()}
            rows.append({**_arm_columns(arm), "size": size.name, **found, **by_structure})
    return rows


def _case_rows(results: StudyResults) -> list[dict[str, Any]]:
    rows = []
    for arm, by_seed in results.by_arm.items():
        for seed, cases in by_seed.items():
            for one in cases:
                volumes = {"volume_ml": one.volume_ml, "predicted_ml": one.predicted_ml, "error_ml": one.error_ml}
                by_structure = {f"dice of {name}": value for name, value in one.dice.items()}
                rows.append({**_arm_columns(arm), "seed": seed, "case": one.identifier, "dice": one.mean_dice,
                             **volumes, **by_structure})  # fmt: skip
    return rows


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
