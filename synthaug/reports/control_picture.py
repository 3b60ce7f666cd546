"""A picture of volume control: requested against realised volumes, and some of the pairs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthaug.evaluation.control import ControlReport
from synthaug.files.atomic import replace_file
from synthaug.reports.palette import DARK, Theme
from synthaug.reports.preview import CONVENTION, picture_centre, view_slices, volume_caption
from synthaug.volumes import LabeledVolume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

COLUMNS = 4
LOG_AXES_FROM = 4.0
"""Targets that span more than this factor are drawn on logarithmic axes."""


def draw_control(path: Path, report: ControlReport, pairs: Sequence[LabeledVolume]) -> None:
    """Write the picture; an existing one is replaced at once or not at all.

    Args:
        path: PNG file.
        report: what the scatter plot shows.
        pairs: drawn beside it, axial and coronal with the structure's outline; may be empty.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(pairs) // COLUMNS)
    width = 6.2 + (4.1 * min(len(pairs), COLUMNS) if pairs else 0)
    height = max(5.8, 0.6 + 2.9 * rows)
    figure = Figure(figsize=(width, height), dpi=110, facecolor=DARK.background)
    FigureCanvasAgg(figure)
    _draw_scatter(figure.add_axes((0.75 / width, 0.75 / height, 5.0 / width, (height - 1.45) / height)), report, DARK)
    for number, pair in enumerate(pairs):
        row, column = divmod(number, COLUMNS)
        left, top = 6.1 + 4.1 * column, height - 0.25 - 2.9 * row
        figure.text(
            left / width, (top - 0.1) / height, volume_caption(pair),
            color=DARK.text, fontsize=9.5, va="center", parse_math=False,
        )  # fmt: skip
        for place, view in enumerate((0, 1)):
            box = ((left + 2.0 * place) / width, (top - 2.6) / height, 1.95 / width, 2.35 / height)
            _draw_view(figure.add_axes(box, facecolor="black"), pair, view, report.structure)
    if pairs:
        figure.text(0.99, 0.12 / height, CONVENTION, color=DARK.faint, fontsize=7.5, ha="right", va="center")
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=DARK.background)
    replace_file(path, content.getvalue())


def control_chart(report: ControlReport, theme: Theme) -> bytes:
    """A PNG: realised against requested volumes, and below it the errors in per cent against the requested ones."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 7.4), dpi=110, facecolor=theme.background, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, height_ratios=(5, 2), sharex=True)
    _draw_scatter(upper, report, theme)
    upper.set_xlabel("")
    facts = report.to_dict()
    lower.axhline(0, color=theme.faint, linewidth=1, linestyle="--", zorder=1)
    _draw_points(
        lower,
        [pair["requested_ml"] for pair in facts["pairs"]],
        [pair["error_percent"] for pair in facts["pairs"]],
        theme,
    )
    reach = 1.15 * max(facts["largest_error_percent"], 0.1)
    lower.set_ylim(-reach, reach)
    _colour_axes(lower, theme)
    lower.set_xlabel(f"{report.structure}, requested (mL)", color=theme.text, parse_math=False)
    lower.set_ylabel("error (%)", color=theme.text)
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=theme.background)
    return content.getvalue()


def _draw_points(axes: Axes, x: Sequence[float], y: Sequence[float], theme: Theme) -> None:
    axes.scatter(x, y, s=30, color=theme.accent, edgecolors=theme.background, linewidths=0.5, zorder=2)


def _colour_axes(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.background)
    axes.tick_params(colors=theme.faint)
    for spine in axes.spines.values():
        spine.set_color(theme.faint)


def _draw_scatter(axes: Axes, report: ControlReport, theme: Theme) -> None:
    requested = [point.requested_ml for point in report.points]
    realised = [point.realised_ml for point in report.points]
    low, high = 0.85 * min(*requested, *realised), 1.1 * max(*requested, *realised)
    if max(requested) > LOG_AXES_FROM * min(requested) and low > 0:
        axes.set_xscale("log")
        axes.set_yscale("log")
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if low <= tick <= high]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(_fixed(ticks))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(_fixed([]))
    axes.plot([low, high], [low, high], color=theme.faint, linewidth=1, linestyle="--", zorder=1)
    _draw_points(axes, requested, realised, theme)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    _colour_axes(axes, theme)
    axes.set_xlabel(f"{report.structure}, requested (mL)", color=theme.text, parse_math=False)
    axes.set_ylabel("realised (mL)", color=theme.text)
    facts = report.to_dict()
    explained = "-" if facts["r_squared"] is None else f"{facts['r_squared']:.3f}"
    axes.set_title(
        f"{facts['count']} pairs   slope {facts['slope_through_origin']:.3f}   R² {explained}   "
        f"MAE {facts['mae_ml']:.1f} mL ({facts['mae_percent']:.1f} %)",
        color=theme.text,
        fontsize=10,
    )


def _fixed(ticks: Sequence[float]) -> Locator:
    from matplotlib.ticker import FixedLocator

    return FixedLocator(ticks)


def _draw_view(axes: Axes, pair: LabeledVolume, view: int, structure: str) -> None:
    centre = picture_centre(pair)
    image = view_slices(pair.image[0], centre)[view]
    inside = view_slices(np.isin(pair.label, pair.scheme.resolve(structure)), centre)[view]
    sx, sy, sz = pair.spacing_mm
    rows_mm = (sy, sz)[view]
    tissue = pair.image[0][pair.label > 0]
    high = float(np.percentile(tissue, 99.5)) if tissue.size else 1.0
    low = min(0.0, float(np.percentile(tissue, 0.5))) if tissue.size else 0.0
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=rows_mm / sx, interpolation="nearest")
    if inside.any() and not inside.all():
        axes.contour(inside.astype(np.float32), levels=[0.5], colors=[DARK.accent], linewidths=0.6)
    axes.set_axis_off()
