"""What came of the demo, as tables on the console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

LEARNED_DICE = 0.005
"""Below it a table of two digits would show nothing but zeros."""


def print_volumes(console: Console, synthetic: Sequence[dict[str, Any]]) -> None:
    """Volumes asked for and realised of each pair of a cache."""
    table = Table(title="synthetic pairs: volumes in mL")
    for heading in ("case", "structure"):
        table.add_column(heading)
    for heading in ("requested", "realised", "ratio"):
        table.add_column(heading, justify="right")
    for case in synthetic:
        for name, asked in case["requested_ml"].items():
            got = case["realised_ml"][name]
            table.add_row(case["name"], name, f"{asked:.1f}", f"{got:.1f}", f"{got / asked:.2f}")
    console.print(table)


def print_training(console: Console, metrics: Sequence[dict[str, Any]]) -> None:
    """The lines of synthaug_metrics.jsonl: synthetic share and volumes of each epoch."""
    ahead = "workers draw ahead: the first epoch counts what fills their queues, too"
    table = Table(title="training: synthetic share and volumes of each epoch", caption=ahead)
    for heading in ("epoch", "share asked for", "realised", "synthetic", "real", "volumes drawn, mL"):
        table.add_column(heading, justify="right")
    for epoch in metrics:
        volumes = epoch["volumes_ml"]
        drawn = f"{volumes['min']:.0f} to {volumes['max']:.0f}" if "min" in volumes else "-"
        realised = "-" if epoch["realised_ratio"] is None else f"{epoch['realised_ratio']:.2f}"
        counts = (str(epoch["synthetic"]), str(epoch["real"]))
        table.add_row(str(epoch["epoch"]), f"{epoch['ratio']:.2f}", realised, *counts, drawn)
    console.print(table)


def print_dice(console: Console, dice: dict[str, dict[str, float]], *, stand_ins: bool) -> None:
    """Dice by case and structure, of the structures that are found at all."""
    title = "Dice of held-out cases after a few short epochs"
    table = Table(title=title + (" (stand-ins: no figure about patients)" if stand_ins else ""))
    table.add_column("structure")
    for case in dice:
        table.add_column(case, justify="right")
    names = list(dict.fromkeys(name for scores in dice.values() for name in scores))
    learned = [name for name in names if any(scores.get(name, 0.0) >= LEARNED_DICE for scores in dice.values())]
    for name in learned:
        table.add_row(name, *(f"{scores[name]:.2f}" if name in scores else "-" for scores in dice.values()))
    if len(learned) < len(names):
        more = "more iterations (--iterations, --epochs)"
        table.caption = f"{len(names) - len(learned)} of {len(names)} are not found yet: small structures take {more}"
    console.print(table)
