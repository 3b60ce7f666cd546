"""What an epoch drew, a JSON line for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.integrations.nnunet.shared_state import DrawCounts
from synthaug.schedules import MixSchedule, VolumeSchedule
from synthaug.sources.statistics import ks_distance

NUM_BINS = 10


class EpochMetrics:
    """Describes the draws of epochs.

    Args:
        volumes_ml: Volume of each synthetic case in mL, in the order of the counters.
        structure: The structure that they are of.
        schedule: What the draws should follow; None: every case alike.
        mix: Share of synthetic draws that is asked for.
    """

    def __init__(
        self, volumes_ml: np.ndarray, structure: str, schedule: VolumeSchedule | None, mix: MixSchedule
    ) -> None:
        self.volumes_ml = np.asarray(volumes_ml, np.float64)
        self.structure = structure
        self.schedule = schedule
        self.mix = mix
        low, high = (float(self.volumes_ml.min()), float(self.volumes_ml.max())) if len(self.volumes_ml) else (0.0, 1.0)
        # the same bins in all epochs, so that lines can be compared
        self.edges_ml = np.linspace(low, high if high > low else low + 1.0, NUM_BINS + 1)

    def describe(self, epoch: int, progress: float, drawn: DrawCounts, in_all: DrawCounts) -> dict[str, Any]:
        """The entry of one epoch.

        Workers draw some batches ahead, so the draws made during an epoch reach the network in it or early in the next.

        Args:
            epoch: Number of the epoch.
            progress: Where the schedules stood, 0 to 1.
            drawn: Draws during the epoch.
            in_all: Draws since the training was started or continued.
        """
        synthetic = int(drawn.cases.sum())
        draws = synthetic + drawn.real
        reused = in_all.cases[in_all.cases > 0]
        return {
            "epoch": epoch,
            "progress": progress,
            "draws": draws,
            "synthetic": synthetic,
            "real": drawn.real,
            "ratio": self.mix.fraction(progress),
            "realised_ratio": synthetic / draws if draws else None,
            "fallbacks": {"empty": drawn.empty, "unreadable": drawn.unreadable},
            "unique": int((drawn.cases > 0).sum()),
            "reuse": {
                "p50": float(np.quantile(reused, 0.5)) if len(reused) else 0.0,
                "p95": float(np.quantile(reused, 0.95)) if len(reused) else 0.0,
            },
            "volumes_ml": self._volumes(drawn.cases, progress),
        }

    def _volumes(self, times: np.ndarray, progress: float) -> dict[str, Any]:
        drawn = np.repeat(self.volumes_ml, times)
        if self.schedule is None:
            expected = np.histogram(self.volumes_ml, self.edges_ml)[0] / max(1, len(self.volumes_ml))
        else:
            expected = self.schedule.bin_weights(self.edges_ml, progress)
        described: dict[str, Any] = {
            "structure": self.structure,
            "edges": [round(float(edge), 3) for edge in self.edges_ml],
            "drawn": np.histogram(drawn, self.edges_ml)[0].tolist(),
            "scheduled_share": [round(float(share), 5) for share in expected],
        }
        if len(drawn):
            described.update(min=float(drawn.min()), median=float(np.median(drawn)), max=float(drawn.max()))
            if self.schedule is not None:
                described["ks_distance"] = round(ks_distance(drawn, self.schedule, progress), 5)
        return described


class MetricsLog:
    """A file with one JSON object a line.

    Args:
        path: The file.
        first_epoch: The epoch that the training starts or continues at; later ones, from a run that was cut off, are
            dropped, since they are trained again.
    """

    def __init__(self, path: Path, first_epoch: int) -> None:
        self.path = path
        kept = [line for line in self._lines() if _epoch_of(line) < first_epoch]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(kept))

    def _lines(self) -> list[str]:
        return self.path.read_text().splitlines(keepends=True) if self.path.is_file() else []

    def write(self, entry: dict[str, Any]) -> None:
        """Append an entry."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _epoch_of(line: str) -> float:
    try:
        return int(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # the last line of a run that was killed may be cut
