"""One colour for each structure, the same in every picture."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from math import gcd

import numpy as np

from synthaug.labels import LabelScheme, is_tissue_class


@dataclass(frozen=True)
class Theme:
    """Colours of a chart, ``#rrggbb``.

    Attributes:
        background: behind it.
        text: of titles and axes.
        faint: of ticks, spines and lines that guide the eye.
        accent: of what is measured.
        second: of what it is compared with.
    """

    background: str
    text: str
    faint: str
    accent: str
    second: str


DARK = Theme("#0b0d12", "#e8eaf0", "#8a90a0", "#ffb000", "#648fff")
LIGHT = Theme("#ffffff", "#1b1e25", "#6a7080", "#b35900", "#2b59c3")

VENTRICLE_COLOURS = ("#ffb000", "#fe6100", "#dc267f", "#f9e45b", "#ff8fa3", "#b3400a", "#ffe8c0")
"""Vivid; the first four lie apart for colour-blind readers too: ventricles are what a picture is looked at for."""

MUTED_HUES = (0.36, 0.80)
"""Green to violet: no hue of the ventricles."""

ALL_HUES = (0.0, 0.92)


def structure_colours(scheme: LabelScheme) -> dict[str, tuple[float, float, float]]:
    """RGB in 0..1 for each structure of the scheme.

    The ventricles are vivid and all else muted, green to violet; in schemes without ventricles, structures take all
    hues. Classes of tissue by intensity are grey.

    Args:
        scheme: label scheme; ``ventricles`` is a group or a structure of it.
    """
    vivid = [name for name in scheme.groups.get("ventricles", ("ventricles",)) if name in scheme.names]
    rest = [name for name in scheme.names if is_tissue_class(name, scheme)]
    muted = [name for name in scheme.names if name not in vivid and name not in rest]
    low, high = MUTED_HUES if vivid else ALL_HUES
    stride = next(
        step for step in range(max(1, round(0.4 * len(muted))), 2 * len(muted) + 2) if gcd(step, len(muted)) == 1
    )
    colours: dict[str, tuple[float, float, float]] = {}
    for name in scheme.names:
        if name in vivid:
            colours[name] = _rgb(VENTRICLE_COLOURS[vivid.index(name) % len(VENTRICLE_COLOURS)])
        elif name in rest:
            colours[name] = (0.25 + 0.4 * rest.index(name) / max(len(rest) - 1, 1),) * 3
        else:
            # even hues, dealt in strides so that structures that follow each other in the scheme lie apart
            place = muted.index(name)
            hue = low + (high - low) * (place * stride % len(muted)) / len(muted)
            colours[name] = colorsys.hls_to_rgb(hue, (0.36, 0.62, 0.49)[place % 3], 0.5)
    return colours


def colour_label(label: np.ndarray, scheme: LabelScheme) -> np.ndarray:
    """RGB picture of a label slice.

    Args:
        label: integers ``(H, W)``.
        scheme: label scheme; ids outside it stay black.

    Returns:
        float32 ``(H, W, 3)`` in 0..1, background black.
    """
    colours = structure_colours(scheme)
    table = np.zeros((max(int(label.max(initial=0)), *scheme.ids) + 1, 3), np.float32)
    for name, number in zip(scheme.names, scheme.ids, strict=True):
        table[number] = colours[name]
    return table[np.maximum(label, 0)]


def _rgb(text: str) -> tuple[float, float, float]:
    red, green, blue = (int(text[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue
