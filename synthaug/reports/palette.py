"""One colour for each structure, the same in every picture."""

from __future__ import annotations

import colorsys

import numpy as np

from synthaug.labels import LabelScheme

VENTRICLE_COLOURS: tuple[str, ...] = ("#ffb000", "#fe6100", "#dc267f", "#f9e45b")
"""Vivid and apart from each other also for colour-blind readers: the ventricles are what a picture is looked at for."""

GOLDEN_ANGLE = 0.381966
"""Share of the colour circle between neighbours, so that any number of structures get hues apart."""


def structure_colours(scheme: LabelScheme) -> dict[str, tuple[float, float, float]]:
    """RGB in 0..1 for each structure of the scheme; the group ``ventricles`` is vivid, all else muted blues to violets.

    Args:
        scheme: label scheme; without a group ``ventricles`` every structure takes a muted colour.
    """
    vivid = [name for name in scheme.groups.get("ventricles", ()) if name in scheme.names]
    colours: dict[str, tuple[float, float, float]] = {}
    muted = 0
    for name in scheme.names:
        if name in vivid:
            colours[name] = _rgb(VENTRICLE_COLOURS[vivid.index(name) % len(VENTRICLE_COLOURS)])
        else:
            hue = 0.38 + 0.42 * ((muted * GOLDEN_ANGLE) % 1.0)  # green to violet: no hue of the ventricles
            colours[name] = colorsys.hls_to_rgb(hue, 0.42 + 0.22 * (muted % 3) / 2, 0.5)
            muted += 1
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
