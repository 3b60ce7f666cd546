"""Range of volumes and contacts among real brains whose ventricles are as large."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from synthaug.anatomy.measures import StructureMeasures
from synthaug.anatomy.trend import Trend
from synthaug.labels import LabelScheme

VENTRICLES = "ventricles"

LEAST_ML = 1e-3
"""Volumes below it count as this one: they are taken the logarithm of."""

VOLUME_SLACK = 0.05
"""Of the logarithm of a volume: 5 %."""

CONTACT_SLACK = 0.02
"""Of the share of a structure's faces."""

FEWEST_BRAINS = 8
"""From fewer label maps the range of others cannot be told."""

DIGITS = 5
"""Of the numbers in the JSON form."""


@dataclass(frozen=True)
class NormalRange:
    """Volumes and contacts of real brains, by the size of their ventricles.

    Attributes:
        volumes: trend of the logarithm of each structure's volume in mL.
        contacts: trend of each contact, by structure and neighbour.
    """

    volumes: Mapping[str, Trend]
    contacts: Mapping[tuple[str, str], Trend]

    @classmethod
    def of(cls, brains: Sequence[StructureMeasures], scheme: LabelScheme) -> NormalRange:
        """Measure real brains; structures that one of them lacks are left out, and brains that lack ventricles.

        Raises:
            ValueError: no brain is left.
        """
        brains = [
            one for one in brains if not ventricle_ids(scheme) or log_ventricles(one, scheme) > math.log(LEAST_ML)
        ]
        if not brains:
            raise ValueError("no brain with ventricles; a range needs some")
        sizes = np.array([log_ventricles(one, scheme) for one in brains])
        names = [name for name in scheme.names if not any(name in one.missing for one in brains)]
        return cls(
            {
                name: Trend.through(sizes, np.log([one.volumes_ml[name] for one in brains]), VOLUME_SLACK)
                for name in names
            },
            {
                pair: Trend.through(sizes, np.array([one.contacts[pair] for one in brains]), CONTACT_SLACK)
                for pair in brains[0].contacts
                if pair[0] in names
            },
        )

    def excesses(self, found: StructureMeasures, scheme: LabelScheme) -> Iterator[tuple[str, float]]:
        """What each measure is called, and its distance as a multiple of the range; missing structures are left out."""
        size = log_ventricles(found, scheme)
        for name, trend in self.volumes.items():
            if name not in found.missing:
                yield f"volume of {name}", trend.excess(size, float(np.log(found.volumes_ml[name])))
        for (name, neighbour), trend in self.contacts.items():
            if name not in found.missing:
                excess = trend.excess(size, found.contacts[name, neighbour])
                yield f"contact of {name} with {neighbour}", excess

    def to_dict(self) -> dict[str, Any]:
        """JSON form: slope, intercept and reach of each trend."""
        contacts: dict[str, dict[str, list[float]]] = {}
        for (name, neighbour), trend in self.contacts.items():
            contacts.setdefault(name, {})[neighbour] = _rounded(trend)
        return {"volumes": {name: _rounded(trend) for name, trend in self.volumes.items()}, "contacts": contacts}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> NormalRange:
        """Read the JSON form.

        Raises:
            ValueError: keys, or values that are not three numbers.
        """
        if set(content) != {"volumes", "contacts"}:
            raise ValueError(f"keys {', '.join(map(str, content))}; volumes and contacts are needed")
        return cls(
            {name: _read(one) for name, one in content["volumes"].items()},
            {
                (name, neighbour): _read(one)
                for name, row in content["contacts"].items()
                for neighbour, one in row.items()
            },
        )


def ventricle_ids(scheme: LabelScheme) -> tuple[int, ...]:
    """Ids of the ventricles, a group or a structure of that name; none where the scheme has neither."""
    return scheme.resolve(VENTRICLES) if VENTRICLES in (*scheme.groups, *scheme.names) else ()


def log_ventricles(found: StructureMeasures, scheme: LabelScheme) -> float:
    """Logarithm of the ventricular volume; 0 where a scheme has no ventricles, so that trends are constants."""
    ventricles = ventricle_ids(scheme)
    if not ventricles:
        return 0.0
    total = sum(found.volumes_ml[name] for name in scheme.names if scheme.id_of(name) in ventricles)
    return float(np.log(max(total, LEAST_ML)))


def _read(numbers: Any) -> Trend:
    if not isinstance(numbers, list) or len(numbers) != 3:
        raise ValueError(f"{numbers!r:.40} in the place of a slope, an intercept and a reach")
    slope, intercept, reach = map(float, numbers)
    return Trend(slope, intercept, reach)


def _rounded(trend: Trend) -> list[float]:
    return [round(one, DIGITS) for one in astuple(trend)]
