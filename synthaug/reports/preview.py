"""A picture of pairs: image and label map in three views, with the volumes asked for and realised."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthaug.files.atomic import replace_file
from synthaug.labels import LabelScheme
from synthaug.reports.palette import DARK, colour_label, structure_colours
from synthaug.volumes import LabeledVolume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKGROUND, TEXT, FAINT = DARK.background, DARK.text, DARK.faint

VIEW_EDGES: tuple[tuple[str, str, str, str, str], ...] = (
    # view, and the patient's side at the left, right, top and bottom edge
    ("axial", "R", "L", "A", "P"),
    ("coronal", "R", "L", "S", "I"),
    ("sagittal", "A", "P", "S", "I"),
)
MOST_IN_LEGEND = 24
"""Schemes with more structures show only those in the legend that the pictures are about."""
LEGEND_COLUMN, LEGEND_ROW = 1.75, 0.19
"""Room for a legend's entry, in inches."""
CONVENTION = "Radiological convention: the patient's right is at the left. Slices through the centre of {}."


@dataclass(frozen=True)
class View:
    """One slice of a pair, as it is shown.

    Attributes:
        grey: uint8 ``(rows, columns)``, from black to white.
        label: int16 ``(rows, columns)``, ids of the pair's scheme.
        pixel_mm: height and width of a pixel.
    """

    grey: np.ndarray
    label: np.ndarray
    pixel_mm: tuple[float, float]


@dataclass(frozen=True)
class Card:
    """One pair in a picture.

    Attributes:
        pair: image and label map.
        title: heading, for example the pair's name.
        caption: line below it, for example volumes; None: taken from the pair's provenance.
    """

    pair: LabeledVolume
    title: str
    caption: str | None = None


def view_slices(volume: np.ndarray, centre: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axial, coronal and sagittal slice, each as rows from top to bottom in radiological convention.

    Args:
        volume: ``(X, Y, Z)`` in RAS+ order.
        centre: voxel through which the slices go.

    Returns:
        Axial ``(Y, X)`` with anterior up and the patient's right at the left, coronal ``(Z, X)`` with superior up,
        sagittal ``(Z, Y)`` with superior up and anterior at the left.
    """
    x, y, z = centre
    # index 0 is left, posterior, inferior: reversed, the first column is right (or anterior), the first row the top
    return volume[::-1, ::-1, z].T, volume[::-1, y, ::-1].T, volume[x, ::-1, ::-1].T


def picture_subject(pair: LabeledVolume) -> str | None:
    """Structure or group that a picture is about: what was asked for first, or the ventricles, if the pair has it."""
    requested = pair.provenance.get("requested_ml") or {}
    for name in (*requested, "ventricles"):
        if name in (*pair.scheme.names, *pair.scheme.groups) and np.isin(pair.label, pair.scheme.resolve(name)).any():
            return str(name)
    return None


def picture_centre(pair: LabeledVolume, subject: str | None = None) -> tuple[int, int, int]:
    """Voxel at the centre of mass of a structure or group, by default `picture_subject`.

    Of all structures where the pair has none of it, of the grid where it has no label at all.
    """
    known = subject in (*pair.scheme.names, *pair.scheme.groups)
    if subject is None or not known or not np.isin(pair.label, pair.scheme.resolve(subject)).any():
        subject = picture_subject(pair)
    inside = pair.label > 0 if subject is None else np.isin(pair.label, pair.scheme.resolve(subject))
    if not inside.any():
        inside = np.ones_like(inside)
    x, y, z = (round(float(axis.mean())) for axis in np.nonzero(inside))
    return x, y, z


def volume_caption(pair: LabeledVolume) -> str:
    """``ventricles 40.0 -> 39.2 mL``, asked for and realised; without provenance the ventricles' volume."""
    requested = pair.provenance.get("requested_ml") or {}
    realised = pair.volumes_ml()
    if not requested:
        return f"ventricles {realised['ventricles']:.1f} mL" if "ventricles" in realised else ""
    arrow = "\N{RIGHTWARDS ARROW}"
    return ", ".join(f"{name} {asked:.1f} {arrow} {realised[name]:.1f} mL" for name, asked in requested.items())


def draw_pairs(
    path: Path, columns: Sequence[Sequence[Card]], *, headings: Sequence[str] | None = None, title: str = ""
) -> None:
    """Draw cards in columns and write the picture; an existing one is replaced at once or not at all.

    Args:
        path: PNG file to write.
        columns: cards from top to bottom, for each column.
        headings: one line above each column.
        title: line at the top.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = max(len(column) for column in columns)
    card_width, card_height, margin = 6.3, 4.75, 0.35
    top = 0.45 + (0.4 if title else 0.0) + (0.35 if headings else 0.0)
    schemes = {card.pair.scheme.name: card.pair.scheme for column in columns for card in column}
    width = len(columns) * card_width + (len(columns) + 1) * margin
    legends: list[dict[str, tuple[float, float, float]]] = []
    subjects = sorted({picture_subject(card.pair) or "" for column in columns for card in column})
    for entries in (_legend_entries(scheme, subjects) for scheme in schemes.values()):
        if entries not in legends:
            legends.append(entries)
    legend_columns = max(1, int(width // LEGEND_COLUMN))
    legend_heights = [LEGEND_ROW * -(-len(entries) // legend_columns) + 0.2 for entries in legends]
    bottom = 0.5 + sum(legend_heights)
    height = top + rows * card_height + bottom
    figure = Figure(figsize=(width, height), dpi=110, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    if title:
        figure.text(
            0.5, 1 - 0.42 / height, title,
            color=TEXT, fontsize=15, ha="center", va="center", weight="bold", parse_math=False,
        )  # fmt: skip
    for number, column in enumerate(columns):
        left = margin + number * (card_width + margin)
        if headings:
            figure.text(
                (left + card_width / 2) / width, 1 - (top - 0.3) / height, headings[number],
                color=TEXT, fontsize=12.5, ha="center", va="center", parse_math=False,
            )  # fmt: skip
        for row, card in enumerate(column):
            _draw_card(figure, card, left, height - top - (row + 1) * card_height, card_width, card_height)
    for number, entries in enumerate(legends):
        middle = 0.42 + sum(legend_heights[:number]) + legend_heights[number] / 2
        _draw_legend(figure, entries, legend_columns, middle / height)
    convention = CONVENTION.format(" or ".join(name.replace("_", " ") or "all structures" for name in subjects))
    figure.text(0.5, 0.22 / height, convention, color=FAINT, fontsize=8.5, ha="center", va="center", parse_math=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=BACKGROUND)
    replace_file(path, content.getvalue())


def preview_pairs(path: Path, pairs: Sequence[LabeledVolume], names: Sequence[str], title: str = "") -> None:
    """Draw pairs in up to two columns, in reading order."""
    cards = [Card(pair, name) for pair, name in zip(pairs, names, strict=True)]
    columns = [cards[start::2] for start in range(2) if cards[start::2]]
    draw_pairs(path, columns, title=title)


def _draw_card(figure: Figure, card: Card, left: float, bottom: float, width: float, height: float) -> None:
    """Image above, image with label map below, three views each; all lengths in inches."""
    pair = card.pair
    total_width, total_height = figure.get_size_inches()
    caption = volume_caption(pair) if card.caption is None else card.caption
    for text, down, size, colour in ((card.title, 0.13, 10.5, TEXT), (caption, 0.35, 9.5, FAINT)):
        figure.text(
            left / total_width, (bottom + height - down) / total_height, text,
            color=colour, fontsize=size, va="center", parse_math=False,
        )  # fmt: skip
    draw_views(figure, cut_views(pair), pair.scheme, (left, bottom + 0.2, width, height - 0.75))


def cut_views(pair: LabeledVolume, subject: str | None = None) -> tuple[View, ...]:
    """Axial, coronal and sagittal slice through `picture_centre`, or through the centre of a structure or group."""
    centre = picture_centre(pair, subject)
    low, high = _window(pair.image[0])
    images = view_slices(np.clip((pair.image[0] - low) / (high - low), 0, 1), centre)
    labels = view_slices(pair.label, centre)
    sx, sy, sz = pair.spacing_mm
    pixels = ((sy, sx), (sz, sx), (sz, sy))
    return tuple(
        View(np.round(255 * image).astype(np.uint8), label.copy(), pixel_mm)
        for image, label, pixel_mm in zip(images, labels, pixels, strict=True)
    )


def draw_views(
    figure: Figure, views: Sequence[View], scheme: LabelScheme, box: tuple[float, float, float, float]
) -> None:
    """Draw three views beside each other: images above, below them the same with the label map.

    Args:
        figure: to draw on.
        views: axial, coronal, sagittal; where all images are black, only label maps are drawn.
        scheme: of the label maps.
        box: left, bottom, width and height in inches.
    """
    left, bottom, width, height = box
    total_width, total_height = figure.get_size_inches()
    with_image = any(view.grey.any() for view in views)
    cell_width, cell_height = width / 3, height / (2 if with_image else 1)
    for column, (view, (name, *edges)) in enumerate(zip(views, VIEW_EDGES, strict=True)):
        grey = view.grey / np.float32(255)
        overlay = np.repeat(grey[..., None], 3, axis=-1)
        inside = view.label > 0
        share = 0.55 if with_image else 1.0
        overlay[inside] = (1 - share) * overlay[inside] + share * colour_label(view.label, scheme)[inside]
        pictures = (grey, overlay) if with_image else (overlay,)
        for row, shown in enumerate(pictures):
            axes = figure.add_axes(
                (
                    (left + column * cell_width + 0.02) / total_width,
                    (bottom + (len(pictures) - 1 - row) * cell_height + 0.02) / total_height,
                    (cell_width - 0.04) / total_width,
                    (cell_height - 0.04) / total_height,
                ),
                facecolor="black",
            )
            rows_mm, columns_mm = view.pixel_mm
            axes.imshow(shown, cmap="gray", vmin=0, vmax=1, aspect=rows_mm / columns_mm, interpolation="nearest")
            axes.set_axis_off()
            if row == 0:
                places = ((0.01, 0.5, "left", "center"), (0.99, 0.5, "right", "center"), (0.5, 0.99, "center", "top"))
                for edge, (x, y, horizontal, vertical) in zip(edges, places, strict=False):
                    axes.text(x, y, edge, transform=axes.transAxes, color=FAINT, fontsize=7, ha=horizontal, va=vertical)
                axes.text(0.02, 0.02, name, transform=axes.transAxes, color=FAINT, fontsize=7, va="bottom")


def _window(image: np.ndarray) -> tuple[float, float]:
    """Intensities that become black and white: 0 (or the minimum, in HU) to the foreground's 99.5th percentile."""
    inside = image[image != image.flat[0]]
    if not inside.size:
        return 0.0, 1.0
    low, high = float(min(0.0, np.percentile(inside, 0.5))), float(np.percentile(inside, 99.5))
    return (low, high) if high > low else (low, low + 1.0)


def _legend_entries(scheme: LabelScheme, subjects: Iterable[str]) -> dict[str, tuple[float, float, float]]:
    """Text and colour of each entry."""
    colours = structure_colours(scheme)
    if len(colours) > MOST_IN_LEGEND:
        shown = {*subjects} & {*scheme.names, *scheme.groups}
        ids = {number for name in shown for number in scheme.resolve(name)}
        colours = {name: colour for name, colour in colours.items() if scheme.id_of(name) in ids}
    return {name.replace("_", " "): colour for name, colour in colours.items()}


def _draw_legend(figure: Figure, entries: dict[str, tuple[float, float, float]], columns: int, height: float) -> None:
    from matplotlib.patches import Patch

    if not entries:
        return
    legend = figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in entries.items()],
        loc="center",
        bbox_to_anchor=(0.5, height),
        ncols=min(columns, len(entries)),
        fontsize=7.5,
        frameon=False,
        labelcolor=FAINT,
        handlelength=1.0,
        columnspacing=1.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
