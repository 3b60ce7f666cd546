"""A picture of volume control: requested against realised volumes, and some of the pairs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthaug.evaluation.control import ControlReport
from synthaug.files.atomic import replace_file
from synthaug.reports.preview import BACKGROUND, CONVENTION, FAINT, TEXT, picture_centre, view_slices, volume_caption
from synthaug.volumes import LabeledVolume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

ACCENT = "#ffb000"
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
    figure = Figure(figsize=(width, height), dpi=110, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    _draw_scatter(figure.add_axes((0.75 / width, 0.75 / height, 5.0 / width, (height - 1.45) / height)), report)
    for number, pair in enumerate(pairs):
        row, column = divmod(number, COLUMNS)
        left, top = 6.1 + 4.1 * column, height - 0.25 - 2.9 * row
        figure.text(left / width, (top - 0.1) / height, volume_caption(pair), color=TEXT, fontsize=9.5, va="center")
        for place, view in enumerate((0, 1)):
            box = ((left + 2.0 * place) / width, (top - 2.6) / height, 1.95 / width, 2.35 / height)
            _draw_view(figure.add_axes(box, facecolor="black"), pair, view, report.structure)
    if pairs:
        figure.text(0.99, 0.12 / height, CONVENTION, color=FAINT, fontsize=7.5, ha="right", va="center")
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=BACKGROUND)
    replace_file(path, content.getvalue())


def _draw_scatter(axes: Axes, report: ControlReport) -> None:
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
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1, linestyle="--", zorder=1)
    axes.scatter(requested, realised, s=30, color=ACCENT, edgecolors=BACKGROUND, linewidths=0.5, zorder=2)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_facecolor(BACKGROUND)
    axes.tick_params(colors=FAINT)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    axes.set_xlabel(f"{report.structure}, requested (mL)", color=TEXT)
    axes.set_ylabel("realised (mL)", color=TEXT)
    facts = report.to_dict()
    explained = "-" if facts["r_squared"] is None else f"{facts['r_squared']:.3f}"
    axes.set_title(
        f"{facts['count']} pairs   slope {facts['slope_through_origin']:.3f}   R² {explained}   "
        f"MAE {facts['mae_ml']:.1f} mL ({facts['mae_percent']:.1f} %)",
        color=TEXT,
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
        axes.contour(inside.astype(np.float32), levels=[0.5], colors=[ACCENT], linewidths=0.6)
    axes.set_axis_off()
