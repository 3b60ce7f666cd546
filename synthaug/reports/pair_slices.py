"""What a report keeps of a pair: three slices and its provenance, small enough to keep those of every pair."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthaug.labels import LabelScheme
from synthaug.reports.page import Picture
from synthaug.reports.palette import structure_colours
from synthaug.reports.preview import View, cut_views, draw_views
from synthaug.volumes import LabeledVolume
from synthaug.volumes.grid import Grid

WIDTH, ROW_HEIGHT = 6.3, 2.1
"""Of a picture, in inches."""
DPI = 110
HASH_DIGITS = 16
"""Of a generator's fingerprint that are shown."""


@dataclass(frozen=True)
class PairSlices:
    """Axial, coronal and sagittal slice of a pair.

    Attributes:
        name: of the pair.
        views: the slices.
        scheme: label scheme.
        facts: provenance, by name, for people to read.
    """

    name: str
    views: tuple[View, ...]
    scheme: LabelScheme
    facts: Mapping[str, str]

    @classmethod
    def of(cls, name: str, pair: LabeledVolume, subject: str | None = None) -> PairSlices:
        """Cut a pair through a structure or group, by default what was asked for."""
        return cls(name, cut_views(pair, subject), pair.scheme, provenance_facts(pair))

    @classmethod
    def of_label(cls, name: str, label: np.ndarray, scheme: LabelScheme, grid: Grid) -> PairSlices:
        """Cut a label map ``(X, Y, Z)`` on a grid, without an image, through its ventricles if it has any."""
        image = np.zeros((1, *label.shape), np.float32)
        return cls.of(name, LabeledVolume(image, label.astype(np.int16), grid.affine, scheme, ("none",)))

    @property
    def colours(self) -> dict[str, str]:
        """Colours ``#rrggbb`` of the structures that the slices show."""
        shown = {int(number) for view in self.views for number in view.label.reshape(-1)}
        return {
            name.replace("_", " "): f"#{''.join(f'{round(255 * one):02x}' for one in colour)}"
            for name, colour in structure_colours(self.scheme).items()
            if self.scheme.id_of(name) in shown
        }

    def picture(self, title: str = "", further: Mapping[str, str] | None = None) -> Picture:
        """The slices, with the image above the label map where there is one.

        Args:
            title: line below it; by default the pair's name.
            further: facts to show before those of the provenance.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        rows = 2 if any(view.grey.any() for view in self.views) else 1
        figure = Figure(figsize=(WIDTH, rows * ROW_HEIGHT), dpi=DPI, facecolor="black")
        FigureCanvasAgg(figure)
        draw_views(figure, self.views, self.scheme, (0, 0, WIDTH, rows * ROW_HEIGHT))
        content = io.BytesIO()
        figure.savefig(content, format="png", facecolor="black")
        what = "image and label map" if rows == 2 else "label map"
        alternative = f"Axial, coronal and sagittal slice of {self.name}: {what}"
        return Picture(content.getvalue(), alternative, title or self.name, {**(further or {}), **self.facts})


def provenance_facts(pair: LabeledVolume) -> dict[str, str]:
    """Seed, volumes asked for and realised, generator and the start of its hash, as far as the provenance has them.

    The realised volumes are measured on the label map; without targets, that of the ventricles is given.
    """
    known: Mapping[str, Any] = pair.provenance
    realised = pair.volumes_ml()
    requested = known.get("requested_ml") or {}
    facts = {}
    if "seed" in known:
        facts["seed"] = str(known["seed"])
    for name, volume_ml in requested.items():
        if name in realised:
            facts[name] = f"{volume_ml:.2f} mL requested, {realised[name]:.2f} mL realised"
    if not requested and "ventricles" in realised:
        facts["ventricles"] = f"{realised['ventricles']:.2f} mL"
    if "generator" in known:
        sha256 = str(known.get("generator_sha256", ""))[:HASH_DIGITS]
        facts["generator"] = f"{known['generator']} {sha256}".strip()
    return facts
