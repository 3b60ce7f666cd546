"""Volumes that go together: what is not asked for is drawn to fit what is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthaug.labels import LabelScheme

RIDGE = 1e-3
"""Added to the variances: the volume of a group follows from those of its members almost exactly."""


@dataclass(frozen=True)
class VolumePrior:
    """Normal distribution of the logarithms of the controls' volumes in mL, over the training label maps.

    Attributes:
        mean: by control.
        covariance: by control and control.
    """

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, volumes_ml: np.ndarray) -> VolumePrior:
        """Measure ``(label maps, controls)`` volumes, each above 0."""
        logarithms = np.log(volumes_ml)
        covariance = np.cov(logarithms, rowvar=False, bias=True).reshape(logarithms.shape[1], -1)
        return cls(tuple(logarithms.mean(0).tolist()), tuple(tuple(row) for row in covariance.tolist()))

    def complete(
        self,
        given_ml: Mapping[str, float],
        limits_ml: Mapping[str, tuple[float, float]],
        scheme: LabelScheme,
        rng: np.random.Generator,
    ) -> dict[str, float]:
        """Volumes in mL of all controls: those given, and the others drawn from what goes with them.

        Args:
            given_ml: volumes asked for, above 0.
            limits_ml: all controls, in the order of the prior, and what a drawn volume may be.
            scheme: tells which controls make up another one; their volumes add up to its.
            rng: source of the draws.
        """
        controls = list(limits_ml)
        mean, covariance = np.array(self.mean), np.array(self.covariance) + RIDGE * np.eye(len(controls))
        known = np.array([name in given_ml for name in controls])
        if known.any():
            seen = np.log([given_ml[name] for name in controls if name in given_ml])
            gain = covariance[np.ix_(~known, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
            expected = mean[~known] + gain @ (seen - mean[known])
            spread = covariance[np.ix_(~known, ~known)] - gain @ covariance[np.ix_(known, ~known)]
        else:
            expected, spread = mean, covariance
        drawn = rng.multivariate_normal(expected, spread, method="eigh") if len(expected) else expected
        volumes = dict(given_ml)
        for name, value in zip([name for name in controls if name not in given_ml], drawn, strict=True):
            low, high = limits_ml[name]
            volumes[name] = float(np.clip(np.exp(value), low, high))
        _add_up(volumes, set(given_ml), scheme)
        return {name: volumes[name] for name in controls}


def members_of(control: str, controls: Sequence[str], scheme: LabelScheme) -> list[str]:
    """Controls that make up another one without a rest; none where they do not."""
    whole = set(scheme.resolve(control))
    parts = [name for name in controls if name != control and set(scheme.resolve(name)) < whole]
    covered = [identifier for name in parts for identifier in scheme.resolve(name)]
    return parts if sorted(covered) == sorted(whole) else []


def _add_up(volumes: dict[str, float], given: set[str], scheme: LabelScheme) -> None:
    """Scale the drawn members of a control that is given; give one that is not the sum of its members."""
    for control in volumes:
        members = members_of(control, list(volumes), scheme)
        free = [name for name in members if name not in given]
        if control in given and free:
            left = volumes[control] - sum(volumes[name] for name in members if name in given)
            factor = max(left, 0.0) / sum(volumes[name] for name in free)
            for name in free:
                volumes[name] = max(volumes[name] * factor, 1e-3)
        elif members and control not in given:
            volumes[control] = sum(volumes[name] for name in members)
