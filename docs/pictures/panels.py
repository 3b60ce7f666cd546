"""Panels of slices, a grid of them with headings, as the pictures of the docs have them."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synthaug.files.atomic import replace_file
from synthaug.reports.palette import DARK, colour_label
from synthaug.reports.preview import cut_views
from synthaug.volumes import LabeledVolume

AXIAL, CORONAL, SAGITTAL = range(3)


def save(figure: Figure, path: Path) -> None:
    """Write a picture as PNG; an existing one is replaced at once or not at all."""
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=DARK.background)
    replace_file(path, content.getvalue())
    print(path)


def dress(axes: Axes) -> None:
    """Give a chart the colours of the pictures."""
    axes.set_facecolor(DARK.background)
    axes.title.set(color=DARK.text, fontsize=10)
    axes.tick_params(colors=DARK.faint, labelsize=8)
    axes.xaxis.label.set_color(DARK.faint)
    axes.yaxis.label.set_color(DARK.faint)
    for spine in axes.spines.values():
        spine.set_color(DARK.faint)


def output_path(script: str, description: str | None) -> Path:
    """Where a script writes its picture: ``--out``, by default beside the script, with its name."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(script).resolve().with_suffix(".png"), help="PNG file")
    out: Path = parser.parse_args().out
    return out


def image_panel(pair: LabeledVolume, view: int = AXIAL, subject: str | None = None) -> np.ndarray:
    """Slice of the first channel through the middle of a structure, RGB ``(rows, columns, 3)`` in 0..1."""
    grey = cut_views(pair, subject)[view].grey / np.float32(255)
    return np.repeat(grey[..., None], 3, axis=-1)


def label_panel(pair: LabeledVolume, view: int = AXIAL, subject: str | None = None) -> np.ndarray:
    """The same slice of the label map, one colour for each structure."""
    return colour_label(cut_views(pair, subject)[view].label, pair.scheme)


def draw_panels(
    rows: Sequence[Sequence[np.ndarray | None]],
    headings: Sequence[str],
    sides: Sequence[str],
    *,
    foot: str = "",
    panel_inches: tuple[float, float] = (2.3, 2.75),
) -> Figure:
    """A grid of panels.

    Args:
        rows: RGB panels ``(rows, columns, 3)`` from left to right, for each row; None leaves a place empty.
        headings: above the columns.
        sides: at the left of the rows.
        foot: line at the bottom.
        panel_inches: width and height of a panel.
    """
    wide, high = panel_inches
    left, top, bottom, gap = (0.35 if any(sides) else 0.05), 0.55, (0.35 if foot else 0.05), 0.06
    width, height = left + len(headings) * wide + 0.05, top + len(rows) * high + bottom
    figure = Figure(figsize=(width, height), dpi=110, facecolor=DARK.background)
    FigureCanvasAgg(figure)
    for column, heading in enumerate(headings):
        x = (left + (column + 0.5) * wide) / width
        figure.text(
            x, 1 - 0.28 / height, heading,
            color=DARK.text, fontsize=11, ha="center", va="center", linespacing=1.4,
        )  # fmt: skip
    for row, panels in enumerate(rows):
        y = height - top - (row + 1) * high
        figure.text(
            0.18 / width, (y + high / 2) / height, sides[row],
            color=DARK.faint, fontsize=10.5, ha="center", va="center", rotation=90,
        )  # fmt: skip
        for column, panel in enumerate(panels):
            if panel is None:
                continue
            box = ((left + column * wide + gap / 2) / width, (y + gap / 2) / height)
            axes = figure.add_axes((*box, (wide - gap) / width, (high - gap) / height), facecolor="black")
            axes.imshow(np.clip(panel, 0, 1), interpolation="nearest")
            axes.set_axis_off()
    if foot:
        figure.text(0.5, 0.17 / height, foot, color=DARK.faint, fontsize=9, ha="center", va="center")
    return figure
