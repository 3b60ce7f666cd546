"""What a training with synthetic cases drew, epoch by epoch: a table, a picture, and a page that holds both."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthaug.errors import ConfigurationError
from synthaug.files.atomic import replace_file
from synthaug.reports.page import Gallery, Page, Picture, Section, Table
from synthaug.reports.palette import DARK, LIGHT, Theme
from synthaug.reports.training_entries import read_entries

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS_PATTERN = "synthaug_metrics*.jsonl"
"""The first process of a DDP group writes the file without a number, the others one each."""

CURVES = "progress.png"
"""Losses and pseudo Dice as nnU-Net draws them, in the output folder of a fold."""

THIRD = "#dc267f"
"""Colour of what should be rare."""

COLUMNS = (
    "epoch", "share asked for", "realised", "fallbacks", "different cases", "drawn so often", "epochs old",
    "volumes, mL", "distance from the schedule", "waiting, s",
)  # fmt: skip
SUMMED = ("draws", "synthetic", "real")


@dataclass(frozen=True)
class TrainingReport:
    """The metrics of a training.

    Attributes:
        epochs: one entry each, in order; processes of a DDP group are added up.
    """

    epochs: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, run: Path) -> TrainingReport:
        """Read the metrics of a fold's output folder, or a metrics file.

        Raises:
            ConfigurationError: there are none.
        """
        files = [run] if run.is_file() else sorted(run.glob(METRICS_PATTERN), key=lambda path: len(path.name))
        if not files:
            raise ConfigurationError(
                f"{run}: holds no {METRICS_PATTERN}; name the output folder of a fold that was trained with synthaug, "
                "such as nnUNet_results/DatasetXXX_Name/nnUNetTrainerSynthAug__nnUNetPlans__3d_fullres/fold_0"
            )
        by_epoch: dict[int, dict[str, Any]] = {}
        for path in files:
            for entry in read_entries(path):
                known = by_epoch.setdefault(entry["epoch"], entry)
                if known is not entry:
                    _add(known, entry)
        if not by_epoch:
            raise ConfigurationError(f"{files[0]}: holds no finished epoch; wait for the first one")
        return cls(tuple(by_epoch[epoch] for epoch in sorted(by_epoch)))

    def to_markdown(self) -> str:
        """A row for each epoch, and what to look at."""
        lines = [f"| {' | '.join(COLUMNS)} |", f"|{'--:|' * len(COLUMNS)}"]
        lines += [f"| {' | '.join(cells)} |" for cells in self._rows()]
        return "\n".join([*lines, "", *self._remarks()]) + "\n"

    def to_page(self, run: Path) -> Page:
        """The same as one HTML page, with nnU-Net's own curves where there are some.

        Args:
            run: output folder of the fold, or its metrics file.
        """
        pictures = [
            Picture(
                self.to_png(LIGHT),
                "Shares, volumes against the schedule, reuse and waiting by epoch",
                dark_png=self.to_png(DARK),
                wide=True,
            )
        ]
        galleries = [Gallery("By epoch", pictures)]
        curves = run / CURVES
        if curves.is_file():
            drawn = Picture(curves.read_bytes(), "Losses and pseudo Dice by epoch", wide=True)
            galleries.append(Gallery("Losses and pseudo Dice, as nnU-Net draws them", [drawn]))
        table = Table(
            COLUMNS, self._rows(), "Drawn so often, epochs old: median (95th percentile); distance: Kolmogorov-Smirnov"
        )
        structure = self.epochs[-1]["volumes_ml"].get("structure", "-")
        facts = {
            "run": str(run),
            "epochs": f"{len(self.epochs)}, {self._numbers[0]} to {self._numbers[-1]}",
            "volumes": f"of {structure}",
        }
        return Page("Training with synthetic cases", facts, [Section("Draws", (), [table], galleries)], self._remarks())

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for one in self.epochs:
            volumes = one["volumes_ml"]
            drawn = f"{volumes['min']:.0f} to {volumes['max']:.0f}" if "min" in volumes else "-"
            cells = (
                str(one["epoch"]),
                f"{one['ratio']:.2f}",
                _number(one["realised_ratio"], ".2f"),
                str(sum(one["fallbacks"].values())),
                _number(one.get("unique_fraction"), ".0%"),
                _spread(one["reuse"]),
                _spread(one.get("age")),
                drawn,
                _number(volumes.get("ks_distance"), ".3f"),
                _number(one.get("loader_wait_s"), ".1f"),
            )
            rows.append(cells)
        return rows

    def _remarks(self) -> list[str]:
        """What a reader should know at a glance."""
        draws = sum(one["draws"] for one in self.epochs)
        synthetic = sum(one["synthetic"] for one in self.epochs)
        fallbacks = sum(sum(one["fallbacks"].values()) for one in self.epochs)
        remarks = [f"{synthetic} of {draws} draws were synthetic, {fallbacks} real cases stood in for synthetic ones."]
        live = [one["live"] for one in self.epochs if "live" in one]
        if live:
            made, rejects = sum(one["inserts"] for one in live), sum(sum(one["rejects"].values()) for one in live)
            remarks.append(
                f"{made} pairs were made meanwhile, {rejects} times quality control gave a reason against one; the "
                f"generating process was replaced {live[-1]['restarts']} times"
                + (" and then given up." if live[-1]["frozen"] else ".")
            )
        return remarks

    def draw(self, path: Path) -> None:
        """Write the picture, a PNG; an existing one is replaced at once or not at all."""
        replace_file(path, self.to_png(DARK))

    def to_png(self, theme: Theme) -> bytes:
        """The picture, a PNG."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(12, 8.4), dpi=110, facecolor=theme.background, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, 2)
        self._draw_shares(axes[0, 0], theme)
        self._draw_volumes(axes[0, 1], theme)
        self._draw_reuse(axes[1, 0], theme)
        self._draw_pool(axes[1, 1], theme)
        content = io.BytesIO()
        figure.savefig(content, format="png", facecolor=theme.background)
        return content.getvalue()

    @property
    def _numbers(self) -> list[int]:
        return [one["epoch"] for one in self.epochs]

    def _draw_shares(self, axes: Axes, theme: Theme) -> None:
        fallbacks = [sum(one["fallbacks"].values()) / max(1, one["draws"]) for one in self.epochs]
        _line(axes, self._numbers, [one["ratio"] for one in self.epochs], theme.faint, "asked for", "--")
        _line(axes, self._numbers, [one["realised_ratio"] for one in self.epochs], theme.accent, "realised")
        _line(axes, self._numbers, fallbacks, THIRD, "real instead of synthetic")
        axes.set_ylim(-0.02, 1.05)
        _finish(axes, theme, "share of synthetic draws", "epoch")

    def _draw_volumes(self, axes: Axes, theme: Theme) -> None:
        """Drawn volumes as shades, the middle half of the schedule as lines."""
        volumes = [one["volumes_ml"] for one in self.epochs]
        edges = np.array(volumes[-1]["edges"])
        same = [one["edges"] == volumes[-1]["edges"] for one in volumes]
        counts = np.array(
            [one["drawn"] if fits else [0] * (len(edges) - 1) for one, fits in zip(volumes, same, strict=True)]
        )
        shares = counts / counts.sum(1, keepdims=True).clip(min=1)
        sides = np.append(self._numbers, self._numbers[-1] + 1) - 0.5
        axes.pcolormesh(sides, edges, shares.T, cmap="inferno", vmin=0, vmax=max(0.05, float(shares.max())))
        for share in (0.25, 0.5, 0.75):
            at = [_quantile(edges, one["scheduled_share"], share) for one in volumes]
            _line(axes, self._numbers, at, "white" if share == 0.5 else theme.faint, None, "--")
        _finish(
            axes,
            theme,
            f"{volumes[-1]['structure']} drawn, mL; lines: quartiles of the schedule",
            "epoch",
            legend=False,
        )

    def _draw_reuse(self, axes: Axes, theme: Theme) -> None:
        _line(
            axes,
            self._numbers,
            [one["reuse"]["p50"] for one in self.epochs],
            theme.accent,
            "draws of a case so far, median",
        )
        _line(axes, self._numbers, [one["reuse"]["p95"] for one in self.epochs], theme.accent, "95th percentile", ":")
        ages = [one.get("age") for one in self.epochs]
        if any(ages):
            _line(axes, self._numbers, [age and age["p50"] for age in ages], theme.second, "age in epochs, median")
            _line(axes, self._numbers, [age and age["p95"] for age in ages], theme.second, "95th percentile", ":")
        axes.set_ylim(bottom=0)
        _finish(axes, theme, "how often cases were drawn, and how old they were", "epoch")

    def _draw_pool(self, axes: Axes, theme: Theme) -> None:
        live = [one.get("live") for one in self.epochs]
        waits = [one.get("loader_wait_s") for one in self.epochs]
        if any(live):
            _line(axes, self._numbers, [one and one["inserts"] for one in live], theme.accent, "pairs made")
            _line(axes, self._numbers, [one and one["restarts"] for one in live], THIRD, "restarts so far")
        _line(axes, self._numbers, waits, theme.second, "seconds waiting for the loader")
        axes.set_ylim(bottom=0)
        _finish(axes, theme, "what was made, and what the loop waited", "epoch")


def _add(known: dict[str, Any], other: dict[str, Any]) -> None:
    """Add the draws of another process; what is no count stays that of the first."""
    for key in SUMMED:
        known[key] += other[key]
    for why, count in other["fallbacks"].items():
        known["fallbacks"][why] += count
    known["realised_ratio"] = known["synthetic"] / known["draws"] if known["draws"] else None
    if known["volumes_ml"]["edges"] == other["volumes_ml"]["edges"]:
        both = zip(known["volumes_ml"]["drawn"], other["volumes_ml"]["drawn"], strict=True)
        known["volumes_ml"]["drawn"] = [one + more for one, more in both]


def _quantile(edges: np.ndarray, shares: Sequence[float], share: float) -> float:
    cumulative = np.concatenate([[0.0], np.cumsum(shares)])
    return float(np.interp(share * cumulative[-1], cumulative, edges))


def _line(
    axes: Axes, x: Sequence[int], y: Sequence[float | None], colour: str, label: str | None, style: str = "-"
) -> None:
    values = [np.nan if value is None else value for value in y]
    axes.plot(
        x, values, style, color=colour, label=label, linewidth=1.4, marker="o" if len(x) < 30 else "", markersize=3
    )


def _finish(axes: Axes, theme: Theme, title: str, label: str, *, legend: bool = True) -> None:
    axes.set_facecolor(theme.background)
    axes.set_title(title, color=theme.text, fontsize=10, parse_math=False)
    axes.set_xlabel(label, color=theme.text)
    axes.tick_params(colors=theme.faint)
    for spine in axes.spines.values():
        spine.set_color(theme.faint)
    if legend:
        axes.legend(facecolor=theme.background, edgecolor=theme.faint, labelcolor=theme.text, fontsize=8)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _spread(values: dict[str, float] | None) -> str:
    return "-" if values is None else f"{values['p50']:g} ({values['p95']:g})"
