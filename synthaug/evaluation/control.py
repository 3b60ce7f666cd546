"""Volume control: what was asked for against what was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from synthaug.errors import ConfigurationError
from synthaug.evaluation.intervals import Interval, bootstrap_interval, mean_interval, share_interval

if TYPE_CHECKING:
    from synthaug.conditions import Condition
    from synthaug.generators.protocol import PairGenerator
    from synthaug.schedules import VolumeSchedule
    from synthaug.volumes import LabeledVolume


@dataclass(frozen=True)
class ControlPoint:
    """One pair.

    Attributes:
        name: the pair.
        requested_ml: target volume.
        realised_ml: volume in the label map.
        seconds: time that the pair took, where known.
        failures: reasons for which quality control would reject the pair; empty where it passes.
    """

    name: str
    requested_ml: float
    realised_ml: float
    seconds: float | None = None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class ControlReport:
    """Requested and realised volumes of one structure or group, with ``x`` the requested and ``y`` the realised ones.

    Attributes:
        structure: structure or group.
        points: the pairs, in the order in which they were made.
    """

    structure: str
    points: tuple[ControlPoint, ...]
    _arrays: tuple[np.ndarray, np.ndarray] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.points:
            raise ConfigurationError(
                f"control of {self.structure}: no pair with a target for it; give pairs that have one"
            )
        requested = np.array([point.requested_ml for point in self.points], dtype=np.float64)
        realised = np.array([point.realised_ml for point in self.points], dtype=np.float64)
        if not (requested > 0).all():
            raise ConfigurationError(
                f"control of {self.structure}: a target of 0 mL; errors in per cent need targets above 0"
            )
        object.__setattr__(self, "_arrays", (requested, realised))

    @property
    def errors_ml(self) -> np.ndarray:
        """Realised minus requested volume, ``(pairs,)``."""
        requested, realised = self._arrays
        return realised - requested

    @property
    def slope_through_origin(self) -> float:
        """Least-squares slope of ``y = slope * x``: 1 means no proportional error."""
        return float(_slopes_through_origin(*self._arrays))

    @property
    def line(self) -> tuple[float, float] | None:
        """Ordinary least squares: slope and intercept in mL; None without two different targets."""
        slope, intercept = (float(one) for one in _lines(*self._arrays))
        return None if np.isnan(slope) else (slope, intercept)

    @property
    def r_squared(self) -> float | None:
        """Share of the realised volumes' variance that the ordinary least-squares line explains."""
        return _finite(_r_squared(*self._arrays))

    @property
    def r_squared_identity(self) -> float | None:
        """The same for the line ``y = x``, with nothing fitted: lower than `r_squared` where there is a bias."""
        return _finite(_explained(*self._arrays))

    @property
    def _rejected(self) -> int:
        return sum(bool(point.failures) for point in self.points)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """95 % confidence intervals of those of the figures in `to_dict` that have one, over pairs.

        The largest error has none: resamples never hold a larger one.
        """
        requested, realised = self._arrays
        errors, percent = self.errors_ml, 100 * self.errors_ml / requested
        seconds = [point.seconds for point in self.points if point.seconds is not None]
        found = {
            "slope_through_origin": bootstrap_interval(_slopes_through_origin, requested, realised),
            "slope": bootstrap_interval(lambda x, y: _lines(x, y)[0], requested, realised),
            "intercept_ml": bootstrap_interval(lambda x, y: _lines(x, y)[1], requested, realised),
            "r_squared": bootstrap_interval(_r_squared, requested, realised),
            "r_squared_identity": bootstrap_interval(_explained, requested, realised),
            "mae_ml": mean_interval(np.abs(errors)),
            "mae_percent": mean_interval(np.abs(percent)),
            "bias_ml": mean_interval(errors),
            "bias_percent": mean_interval(percent),
            "rejected_share": share_interval(self._rejected, len(self.points)),
        }
        return {**found, "seconds_per_pair": mean_interval(seconds)} if seconds else found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: figures, their intervals, then every pair."""
        requested, realised = self._arrays
        percent = 100 * self.errors_ml / requested
        line = self.line
        seconds = [point.seconds for point in self.points if point.seconds is not None]
        failures = Counter(reason for point in self.points for reason in point.failures)
        return {
            "structure": self.structure,
            "count": len(self.points),
            "slope_through_origin": self.slope_through_origin,
            "slope": line[0] if line else None,
            "intercept_ml": line[1] if line else None,
            "r_squared": self.r_squared,
            "r_squared_identity": self.r_squared_identity,
            "mae_ml": float(np.abs(self.errors_ml).mean()),
            "mae_percent": float(np.abs(percent).mean()),
            "bias_ml": float(self.errors_ml.mean()),
            "bias_percent": float(percent.mean()),
            "largest_error_percent": float(np.abs(percent).max()),
            "requested_range_ml": [float(requested.min()), float(requested.max())],
            "realised_range_ml": [float(realised.min()), float(realised.max())],
            "seconds_per_pair": float(np.mean(seconds)) if seconds else None,
            "would_be_rejected": self._rejected,
            "rejected_share": self._rejected / len(self.points),
            "reject_reasons": dict(sorted(failures.items())),
            "intervals_95": {name: one.to_dict() for name, one in self.intervals.items()},
            "pairs": [
                {
                    "name": point.name,
                    "requested_ml": point.requested_ml,
                    "realised_ml": point.realised_ml,
                    "error_percent": float(error),
                    "seconds": point.seconds,
                    "failures": list(point.failures),
                }
                for point, error in zip(self.points, percent, strict=True)
            ],
        }


@dataclass(frozen=True)
class ControlRequest:
    """One sample to make: number, condition and seed."""

    index: int
    condition: Condition
    seed: int


def plan_control(
    generator: PairGenerator, schedule: VolumeSchedule, *, num: int, seed: int, extrapolate: bool = False
) -> list[ControlRequest]:
    """The requests of a control measurement, drawn as ``synthaug sample`` draws them; all are checked first.

    Raises:
        BoundsError: a target is out of bounds and extrapolation was not asked for.
        LabelError: the generator's scheme lacks the schedule's structure.
    """
    from synthaug.precomputing.requests import draw_conditions

    drawn = draw_conditions(generator, schedule, num=num, seed=seed, extrapolate=extrapolate)
    return [ControlRequest(index, condition, own_seed) for index, (condition, own_seed) in enumerate(drawn)]


def sample_control(
    generator: PairGenerator, requests: Sequence[ControlRequest]
) -> Iterator[tuple[ControlPoint, LabeledVolume]]:
    """Make the pairs one by one, each once and unfiltered; quality control only takes notes."""
    from synthaug.quality import QualityConfig, check_pair
    from synthaug.quality.gate import limits_for

    limits = limits_for(generator, QualityConfig())
    for request in requests:
        (pair,) = generator.generate([request.condition], [request.seed])
        ((name, requested_ml),) = request.condition.targets_ml.items()
        point = ControlPoint(
            name=f"{request.index:03d}",
            requested_ml=requested_ml,
            realised_ml=pair.volumes_ml()[name],
            seconds=pair.provenance.get("seconds"),
            failures=tuple(check_pair(pair, request.condition, limits).reasons),
        )
        yield point, pair


def spread_indices(values: Sequence[float], count: int) -> list[int]:
    """Indices of ``count`` values spread evenly over the ranks, smallest first: which pairs a picture shows."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    places = np.linspace(0, len(order) - 1, min(count, len(order)))
    return [order[round(float(place))] for place in places]


def _slopes_through_origin(requested: np.ndarray, realised: np.ndarray) -> np.ndarray:
    return np.asarray((requested * realised).sum(-1) / (requested**2).sum(-1))


def _lines(requested: np.ndarray, realised: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and intercepts of least-squares lines, one for each row; NaN for a row with one target only."""
    spread = requested - requested.mean(-1, keepdims=True)
    total = (spread**2).sum(-1)
    different = total > 1e-20 * (requested**2).sum(-1)  # above the rounding of the mean
    slope = np.where(different, (spread * realised).sum(-1) / np.where(different, total, 1), np.nan)
    return slope, realised.mean(-1) - slope * requested.mean(-1)


def _r_squared(requested: np.ndarray, realised: np.ndarray) -> np.ndarray:
    slope, intercept = _lines(requested, realised)
    return _explained(intercept[..., None] + slope[..., None] * requested, realised)


def _explained(predicted: np.ndarray, realised: np.ndarray) -> np.ndarray:
    """Share of the variance of each row that a prediction explains; NaN for a row without variance."""
    total = ((realised - realised.mean(-1, keepdims=True)) ** 2).sum(-1)
    left = ((realised - predicted) ** 2).sum(-1)
    return np.asarray(np.where(total > 0, 1 - left / np.where(total > 0, total, 1), np.nan))


def _finite(value: np.ndarray) -> float | None:
    return float(value) if np.isfinite(value) else None
