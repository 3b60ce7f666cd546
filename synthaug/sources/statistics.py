"""What an epoch's draws looked like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthaug.schedules import VolumeSchedule
from synthaug.sources.source import Draw


def describe_draws(
    draws: Sequence[Draw], structure: str, schedule: VolumeSchedule | None = None, progress: float = 0.0
) -> dict[str, Any]:
    """Reuse and volumes of draws.

    Args:
        draws: of one epoch.
        structure: whose volume is looked at.
        schedule: what the volumes should follow.
        progress: where the schedule stands.

    Returns:
        ``draws``, ``unique_fraction``, ``reuse_p50`` and ``reuse_p95`` (draws per case drawn), ``volume_ml`` (min,
        median, max), ``histogram`` (``edges_ml``, ``counts``) and, with a schedule, ``ks_distance`` (largest
        difference of the cumulative distributions, Kolmogorov-Smirnov).
    """
    if not draws:
        return {"draws": 0}
    times = np.array(list(Counter(draw.name for draw in draws).values()))
    volumes = np.array([draw.volumes_ml[structure] for draw in draws], np.float64)
    counts, edges = np.histogram(volumes, bins=min(10, len(volumes)))
    described: dict[str, Any] = {
        "draws": len(draws),
        "unique_fraction": len(times) / len(draws),
        "reuse_p50": float(np.quantile(times, 0.5)),
        "reuse_p95": float(np.quantile(times, 0.95)),
        "volume_ml": dict(zip(("min", "median", "max"), np.quantile(volumes, (0, 0.5, 1)).tolist(), strict=True)),
        "histogram": {"edges_ml": edges.tolist(), "counts": counts.tolist()},
    }
    if schedule is not None:
        described["ks_distance"] = ks_distance(volumes, schedule, progress)
    return described


def ks_distance(volumes_ml: np.ndarray, schedule: VolumeSchedule, progress: float) -> float:
    """Kolmogorov-Smirnov distance between volumes in mL and a schedule."""
    values, counts = np.unique(volumes_ml, return_counts=True)
    after = np.cumsum(counts) / counts.sum()
    before = np.concatenate([[0.0], after[:-1]])
    at = np.array([schedule.cdf(float(v), progress) for v in values])
    below = np.array([schedule.cdf(float(np.nextafter(v, -np.inf)), progress) for v in values])
    return float(max(np.abs(after - at).max(), np.abs(before - below).max()))
