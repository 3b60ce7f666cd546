"""Tables and pictures of a study."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synthaug.files.atomic import replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.reports.page import Gallery, Page, Picture, Section
from synthaug.study.arms import Arm
from synthaug.study.pictures import draw_pictures
from synthaug.study.results import StudyResults
from synthaug.study.tables import study_tables
from synthaug.study.tested_case import TestedCase

FOOTNOTES = ("Dice and volumes are those of the study's grid.", "Research use only; not a medical device.")


def write_report(folder: Path, results: StudyResults) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``report.json``, ``arms.csv``, ``cases.csv`` and pictures.

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
    drawn = draw_pictures(folder, results)
    page = folder / "report.html"
    to_page(results, [Picture(path.read_bytes(), title, title, wide=True) for path, title in drawn]).write(page)
    return [*(folder / name for name in texts), page, *(path for path, _ in drawn)]


def to_markdown(results: StudyResults) -> str:
    """All tables, as text.

    Args:
        results: of the runs that are done; without any, the text says so and has no table.
    """
    tables = (line for one in study_tables(results) for line in one.to_markdown())
    return "\n".join([f"# {_title(results)}", "", _state(results), "", *tables]) + "\n"


def to_page(results: StudyResults, pictures: Sequence[Picture]) -> Page:
    """All tables and pictures."""
    config = results.config
    facts = {
        "data set": _dataset(results),
        "test cases": str(len({one.identifier for cases in _tested(results) for one in cases})),
        "grid": f"{' x '.join(f'{edge:g}' for edge in config.grid_spacing_mm)} mm",
        "segmenters": ", ".join(config.segmenters),
        "generators": ", ".join(config.generators) or "none",
        "seeds": ", ".join(map(str, config.seeds)),
    }
    sections = [one.to_section() for one in study_tables(results)]
    if pictures:
        sections.insert(min(1, len(sections)), Section("Pictures", galleries=[Gallery("", list(pictures))]))
    return Page(_title(results), facts, sections, lead=[_state(results)], footnotes=FOOTNOTES)


def _title(results: StudyResults) -> str:
    return f"Study of {_dataset(results)}"


def _dataset(results: StudyResults) -> str:
    config = results.config
    return Path(str(config.transfer.dataset if config.transfer else config.dataset)).name


def _tested(results: StudyResults) -> Iterator[tuple[TestedCase, ...]]:
    return (cases for by_seed in results.by_arm.values() for cases in by_seed.values())


def _state(results: StudyResults) -> str:
    """How far the study is, in a sentence or two."""
    config = results.config
    text = (
        f"{len(results.complete)} of {len(results.runs)} runs are done; every training takes {config.steps} steps of "
        f"{config.batch} volumes."
    )
    if results.short:
        text += (
            f" {len(results.short)} run(s) spent their budget before that and are not compared: "
            f"{', '.join(run.name for run in results.short)}."
        )
    devices = results.trained_on
    if devices:
        named = ", ".join(f"{device} ({count})" if len(devices) > 1 else device for device, count in devices.items())
        text += f" Trained on {named}."
    return " ".join([text, *results.notes])


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
