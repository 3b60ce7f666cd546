"""What an epoch drew, a JSON line for each."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.files.atomic import replace_file
from synthaug.integrations.nnunet.shared_state import DrawCounts, DrawnCases
from synthaug.live import LiveSource
from synthaug.schedules import MixSchedule, VolumeSchedule
from synthaug.sources.statistics import ks_distance

NUM_BINS = 10


class EpochMetrics:
    """Describes the draws of epochs.

    Args:
        volumes_ml: Volumes in mL of the synthetic cases, or the ends of what is made.
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
        self._times: Counter[int] = Counter()

    def describe(self, epoch: int, progress: float, counts: DrawCounts, drawn: DrawnCases) -> dict[str, Any]:
        """The entry of one epoch; epochs are described in their order.

        Workers draw some batches ahead, so the draws made during an epoch reach the network in it or early in the next.

        Args:
            epoch: Number of the epoch.
            progress: Where the schedules stood, 0 to 1.
            counts: Draws during the epoch.
            drawn: The synthetic ones among them.
        """
        draws = counts.synthetic + counts.real
        self._times.update(drawn.cases.tolist())
        unique = len(np.unique(drawn.cases))
        ages = epoch - drawn.born[drawn.born >= 0]
        return {
            "epoch": epoch,
            "progress": progress,
            "draws": draws,
            "synthetic": counts.synthetic,
            "real": counts.real,
            "ratio": self.mix.fraction(progress),
            "realised_ratio": counts.synthetic / draws if draws else None,
            "fallbacks": {"empty": counts.empty, "unreadable": counts.unreadable},
            "unique": unique,
            "unique_fraction": unique / len(drawn.cases) if len(drawn.cases) else None,
            "reuse": _middle_and_most(np.array([self._times[case] for case in set(drawn.cases.tolist())])),
            "age": _middle_and_most(ages) if len(ages) else None,
            "volumes_ml": self._volumes(drawn.volumes_ml, progress),
        }

    def _volumes(self, drawn: np.ndarray, progress: float) -> dict[str, Any]:
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


def _middle_and_most(values: np.ndarray) -> dict[str, float]:
    """Median and 95th percentile; 0 of nothing."""
    return {f"p{share}": float(np.percentile(values, share)) if len(values) else 0.0 for share in (50, 95)}


class LoaderWait:
    """How long a training loop waited for its loader: the time between two steps of an epoch."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def begin_epoch(self) -> None:
        """Start at 0; the first batch of an epoch is not counted."""
        self.seconds, self._since = 0.0, None

    def begin(self) -> None:
        """A step is done."""
        self._since = time.perf_counter()

    def end(self) -> None:
        """The next step begins."""
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since


class PoolMetrics:
    """What the generating process did since it was asked last.

    Args:
        source: Whose pairs are made while the training runs.
    """

    def __init__(self, source: LiveSource) -> None:
        self._source = source
        self._before = source.stats()
        self._asked = time.monotonic()

    def describe(self) -> dict[str, Any]:
        """Pool, inserts and rejects of the time since, share of it that the generator worked, restarts in all."""
        now, asked = self._source.stats(), time.monotonic()
        before, seconds = self._before, max(1e-9, asked - self._asked)
        self._before, self._asked = now, asked
        return {
            "cases": now["cases"],
            "inserts": now["inserted"] - before["inserted"],
            "given_up": now["rejected"] - before["rejected"],
            "rejects": {key: count - before["rejects"].get(key, 0) for key, count in now["rejects"].items()},
            "duty": round((now["busy_s"] - before["busy_s"]) / seconds, 4),
            "restarts": now["restarts"],
            "frozen": now["frozen"],
        }


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
        replace_file(path, "".join(kept).encode())

    def _lines(self) -> list[str]:
        return self.path.read_text().splitlines(keepends=True) if self.path.is_file() else []

    def write(self, entry: dict[str, Any]) -> None:
        """Append an entry."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


class TensorBoardLog:
    """The same figures for TensorBoard.

    Args:
        folder: Of the event files.
        first_epoch: The epoch that the training starts or continues at; what was written for later ones is hidden.
    """

    def __init__(self, folder: Path, first_epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_epoch)

    def write(self, entry: dict[str, Any]) -> None:
        """Write every number of an entry."""
        for name, value in _numbers("synthaug", {key: value for key, value in entry.items() if key != "epoch"}):
            self._writer.add_scalar(name, value, entry["epoch"])
        self._writer.flush()


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Numbers of nested dictionaries by path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(f"{name}/{key}", inner)
    elif isinstance(value, (int, float)):
        yield name, float(value)


def _epoch_of(line: str) -> float:
    try:
        return int(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # the last line of a run that was killed may be cut
