"""Pictures of a study: errors by true volume, and utility against synthetic share, pairs and real cases."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synthaug.files.atomic import replace_file
from synthaug.study.arms import Arm
from synthaug.study.results import StudyResults
from synthaug.study.statistics import EVERY_SIZE

AXES = {
    "ratio": "share of synthetic cases",
    "num_pairs": "pairs of each generator",
    "real_cases": "real training cases",
}
"""Field of an arm -> words below the picture."""

Point = tuple[float, float, float]
"""Value of the axis, MAE in mL, Dice."""

Curve = list[Point]


def draw_pictures(folder: Path, results: StudyResults) -> list[tuple[Path, str]]:
    """Write a picture of all errors, and one for each axis of numbers that has several values.

    Args:
        folder: of the pictures.
        results: of the study.

    Returns:
        The files, with what they show.
    """
    structure = results.config.structure
    written = []
    if results.by_arm:
        path = folder / "errors.png"
        _save(path, _errors(results))
        written.append((path, f"Error of the volume of {structure} by true volume: every test case and seed"))
    for axis, words in AXES.items():
        curves = collect_curves(results, axis)
        if len({value for curve in curves.values() for value, _, _ in curve}) > 1:
            path = folder / f"utility_by_{axis}.png"
            _save(path, _curves(curves, axis, structure))
            written.append((path, f"Volume error and Dice by {words}"))
    return written


def collect_curves(results: StudyResults, axis: str) -> dict[str, Curve]:
    """Points of every arm along an axis, by what the arms have in common; increasing."""
    curves: dict[str, set[Point]] = {}
    for arm in results.by_arm:
        value = getattr(arm, axis)
        if value is None:
            continue
        without_axis: dict[str, Any] = {axis: None}
        shared = replace(arm, **without_axis)
        points = curves.setdefault(f"{arm.segmenter}: {shared.title}", set())
        points |= _points(results, arm, float(value))
        baseline = results.baseline_of(arm)
        if axis != "real_cases" and baseline is not None and baseline.real_cases == arm.real_cases:
            points |= _points(results, baseline, 0.0)  # real cases alone are where nothing is synthetic
    return {name: sorted(points) for name, points in curves.items()}


def _points(results: StudyResults, arm: Arm, value: float) -> set[Point]:
    found = results.figures(arm, EVERY_SIZE)
    if found["mae_ml"] is None or found["dice"] is None:
        return set()
    return {(value, found["mae_ml"], found["dice"])}


def _errors(results: StudyResults) -> Figure:
    """A panel for each network: errors of all arms by true volume."""
    segmenters = list(dict.fromkeys(arm.segmenter for arm in results.by_arm))
    figure = Figure(figsize=(5.5 * len(segmenters), 4.6), dpi=110, layout="constrained")
    panels = dict(zip(segmenters, figure.subplots(1, len(segmenters), sharey=True, squeeze=False)[0], strict=True))
    for name, axes in panels.items():
        axes.axhline(0, color="grey", linewidth=1)
        axes.set_title(name)
        axes.set_xlabel(f"{results.config.structure}: true volume (mL)")
        axes.grid(alpha=0.3)
    next(iter(panels.values())).set_ylabel("error of the volume (mL)")
    colours = {title: f"C{index}" for index, title in enumerate(dict.fromkeys(arm.title for arm in results.by_arm))}
    for arm, by_seed in results.by_arm.items():
        cases = [one for tested in by_seed.values() for one in tested]
        panels[arm.segmenter].plot(
            [one.volume_ml for one in cases],
            [one.error_ml for one in cases],
            "o",
            alpha=0.7,
            color=colours[arm.title],
            label=_plain(arm.title),
        )
    found = [axes.get_legend_handles_labels() for axes in panels.values()]
    legend = {label: handle for handles, labels in found for handle, label in zip(handles, labels, strict=True)}
    figure.legend(list(legend.values()), list(legend), loc="outside lower center", fontsize=8)
    return figure


def _curves(curves: Mapping[str, Curve], axis: str, structure: str) -> Figure:
    figure = Figure(figsize=(11, 4.6), dpi=110, layout="constrained")
    for place, words in ((1, f"{structure}: MAE of the volume (mL)"), (2, "Dice")):
        axes = figure.add_subplot(1, 2, place)
        for name, curve in curves.items():
            axes.plot([point[0] for point in curve], [point[place] for point in curve], marker="o", label=_plain(name))
        axes.set_xlabel(AXES[axis])
        axes.set_ylabel(words)
        axes.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8)
    return figure


def _plain(text: str) -> str:
    """Text of the user's, in which a dollar begins no formula."""
    return text.replace("$", r"\$")


def _save(path: Path, figure: Figure) -> None:
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(content, format="png")
    replace_file(path, content.getvalue())
