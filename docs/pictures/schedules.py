"""Draws ``schedules.png``: what volume schedules draw, and what mix schedules mix, over a training.

    python docs/pictures/schedules.py

takes seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from panels import dress, output_path, save

from synthaug import parse_mix, parse_schedule
from synthaug.reports.palette import DARK

CURRICULUM = {
    "kind": "piecewise",
    "stages": [
        {"until": 0.5, "schedule": {"kind": "uniform", "low_ml": 10, "high_ml": 60}},
        {"until": 1.0, "schedule": {"kind": "uniform", "low_ml": 40, "high_ml": 120}},
    ],
}
SCHEDULES: dict[str, Any] = {
    "uniform:20:120": "uniform:20:120",
    "log-uniform:8:120": "log-uniform:8:120",
    "normal:60:15": "normal:60:15",
    "piecewise": CURRICULUM,
}
MIXES = ("0.5", "synthetic-then-real:0.5", "mixed-then-real:0.5:0.8")
MOST_ML = 130
DRAWS = 400


def main() -> None:
    """Draw from each, and plot."""
    out = output_path(__file__, __doc__)
    figure = Figure(figsize=(12, 3.1), dpi=110, facecolor=DARK.background, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(SCHEDULES) + 1)
    rng = np.random.default_rng(0)
    progress = np.linspace(0, 1, DRAWS)
    for place, (name, given) in zip(axes, SCHEDULES.items(), strict=False):
        schedule = parse_schedule(given)
        place.plot(progress, [schedule.draw(at, rng) for at in progress], ".", color=DARK.accent, markersize=3)
        place.set(title=name, ylim=(0, MOST_ML), ylabel="mL" if place is axes[0] else "")
    for number, text in enumerate(MIXES):
        mix = parse_mix(text)
        shares = [mix.fraction(min(at, 0.9999)) for at in progress]
        axes[-1].plot(progress, shares, color=(DARK.second, DARK.accent, "#dc267f")[number], label=text)
    axes[-1].set(title="synthetic share", ylim=(-0.05, 1.6), yticks=(0, 0.5, 1))
    axes[-1].legend(fontsize=7.5, loc="upper right", frameon=False, labelcolor=DARK.text)
    for place in axes:
        place.set_xlabel("progress")
        dress(place)
    save(figure, out)


if __name__ == "__main__":
    main()
