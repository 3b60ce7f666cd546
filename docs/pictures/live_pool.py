"""Draws ``live_pool.png``: what a training draws from a live pool, and what the pool holds, while a curriculum moves.

    PYTHONPATH=. python docs/pictures/live_pool.py

takes half a minute. The pool, its process and the draws are the real ones; the generator is the tests' stand-in, which
makes a head of ellipsoids in milliseconds, so that thirty epochs pass in seconds.
"""

from __future__ import annotations

import time

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from panels import dress, output_path, save
from schedules import CURRICULUM

from synthaug import LiveOptions, LiveSource, Store, SynthAugment
from synthaug.reports.palette import DARK

EPOCHS, SAMPLES = 30, 24


def main() -> None:
    """Train without a network, and plot what was drawn."""
    out = output_path(__file__, __doc__)
    real = {"image": np.zeros((1, 32, 32, 32), np.float32), "label": np.zeros((1, 32, 32, 32), np.int16)}
    source = LiveSource(
        "python:tests.stand_in_generator:make", CURRICULUM, options=LiveOptions(capacity=24, most_uses=4)
    )
    drawn: list[tuple[int, float]] = []
    held: list[tuple[int, float]] = []
    with SynthAugment([real] * SAMPLES, source, ratio=0.5, epochs=EPOCHS) as mixed:
        for epoch in range(EPOCHS):
            mixed.set_epoch(epoch)
            found = [mixed[index]["synthaug"] for index in range(SAMPLES)]
            drawn += [(epoch, one["volume_ml"]) for one in found if one["synthetic"]]
            time.sleep(0.5)  # an epoch of a training takes longer than these draws
            entries = Store.open(source.folder).entries()
            held += [(epoch, entry.realised_ml["ventricles"]) for entry in entries]
        fallbacks = mixed.stats()["fallbacks"]
    figure = Figure(figsize=(9, 3.4), dpi=110, facecolor=DARK.background, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for stage, (first, last) in zip(CURRICULUM["stages"], ((0, EPOCHS / 2), (EPOCHS / 2, EPOCHS)), strict=True):
        schedule = stage["schedule"]
        axes.fill_between(
            [first - 0.5, last - 0.5], schedule["low_ml"], schedule["high_ml"], color=DARK.second, alpha=0.18, lw=0,
            label="schedule" if first == 0 else None,
        )  # fmt: skip
    axes.plot(*zip(*held, strict=True), ".", color=DARK.faint, markersize=3, label="in the pool after the epoch")
    axes.plot(*zip(*drawn, strict=True), "o", color=DARK.accent, markersize=3.5, label="drawn")
    axes.set(xlabel="epoch", ylabel="ventricles, mL")
    axes.set_title(f"pool of 24 cases, {len(drawn)} draws, {fallbacks} real cases stood in")
    axes.legend(fontsize=8, loc="upper left", frameon=False, labelcolor=DARK.text)
    dress(axes)
    save(figure, out)


if __name__ == "__main__":
    main()
