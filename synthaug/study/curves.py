"""Pictures of utility against the share of synthetic cases and against the number of real ones."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from synthaug.files.atomic import replace_file
from synthaug.study.arms import Arm
from synthaug.study.results import StudyResults
from synthaug.study.statistics import EVERY_SIZE

AXES = {"ratio": "share of synthetic cases", "real_cases": "real training cases"}
"""Field of an arm -> words below the picture."""

Point = tuple[float, float, float]
"""Value of the axis, MAE in mL, Dice."""

Curve = list[Point]


def draw_curves(folder: Path, results: StudyResults) -> list[Path]:
    """Write a picture for each axis of numbers that has several values.

    Args:
        folder: of the pictures.
        results: of the study.

    Returns:
        The files.
    """
    written = []
    for axis in AXES:
        curves = collect_curves(results, axis)
        if len({value for curve in curves.values() for value, _, _ in curve}) > 1:
            path = folder / f"utility_by_{axis}.png"
            _draw(path, curves, axis, results.config.structure)
            written.append(path)
    return written


def collect_curves(results: StudyResults, axis: str) -> dict[str, Curve]:
    """Points of every arm along an axis, by what the arms have in common; increasing."""
    curves: dict[str, set[Point]] = {}
    for arm in results.by_arm:
        value = getattr(arm, axis)
        if value is None:
            continue
        shared = replace(arm, ratio=None) if axis == "ratio" else replace(arm, real_cases=None)
        points = curves.setdefault(f"{arm.segmenter}: {shared.title}", set())
        points |= _points(results, arm, float(value))
        baseline = results.baseline_of(arm)
        if axis == "ratio" and baseline is not None and baseline.real_cases == arm.real_cases:
            points |= _points(results, baseline, 0.0)  # real cases alone are where nothing is synthetic
    return {name: sorted(points) for name, points in curves.items()}


def _points(results: StudyResults, arm: Arm, value: float) -> set[Point]:
    found = results.figures(arm, EVERY_SIZE)
    if found["mae_ml"] is None or found["dice"] is None:
        return set()
    return {(value, found["mae_ml"], found["dice"])}


def _draw(path: Path, curves: Mapping[str, Curve], axis: str, structure: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for place, words in ((1, f"{structure}: MAE of the volume (mL)"), (2, "Dice")):
        axes = figure.add_subplot(1, 2, place)
        for name, curve in curves.items():
            axes.plot([point[0] for point in curve], [point[place] for point in curve], marker="o", label=name)
        axes.set_xlabel(AXES[axis])
        axes.set_ylabel(words)
        axes.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    replace_file(path, content.getvalue())
