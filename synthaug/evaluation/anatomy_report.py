"""Anatomy of generated label maps against the range of real brains whose ventricles are as large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from synthaug.anatomy import NormalRange
from synthaug.anatomy.envelope import MOST_EXPOSED
from synthaug.evaluation.anatomy import MAIN_SHARE, Anatomy
from synthaug.evaluation.intervals import mean_interval, share_interval
from synthaug.labels import LabelScheme


@dataclass(frozen=True)
class RealRange:
    """What real brains are like.

    Attributes:
        normal: range of their volumes and contacts, by the size of their ventricles.
        asymmetries: ``(left - right) / (left + right)`` by left structure, one value for each real brain.
    """

    normal: NormalRange
    asymmetries: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, brains: Sequence[Anatomy], scheme: LabelScheme) -> RealRange:
        """Measure real brains."""
        return cls(NormalRange.of([one.measures for one in brains], scheme), _asymmetries(brains, scheme))

    def beyond(self, anatomy: Anatomy, scheme: LabelScheme) -> dict[str, float]:
        """Volumes and contacts out of range, as multiples of the range; those of missing structures are left out."""
        return {what: excess for what, excess in self.normal.excesses(anatomy.measures, scheme) if excess > 1}


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a label map.

    Attributes:
        anatomy: the label map.
        out_of_range: volumes and contacts out of the range of real brains, as multiples of it; None without real ones.
    """

    anatomy: Anatomy
    out_of_range: Mapping[str, float] | None

    @classmethod
    def of(cls, anatomy: Anatomy, real: RealRange | None, scheme: LabelScheme) -> Verdict:
        """Judge a label map."""
        return cls(anatomy, None if real is None else real.beyond(anatomy, scheme))

    @property
    def badness(self) -> float:
        """By which the worst are found: a fault weighs as much as a measure at five times its range."""
        return 5 * len(self.anatomy.faults) + sum((self.out_of_range or {}).values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        beyond = sorted((self.out_of_range or {}).items(), key=lambda item: -item[1])
        return {
            "name": self.anatomy.name,
            "faults": list(self.anatomy.faults),
            "out_of_range": {what: round(excess, 3) for what, excess in beyond},
            "badness": round(self.badness, 3),
        }


@dataclass(frozen=True)
class AnatomyReport:
    """Anatomy of generated label maps, beside that of real ones where there are some.

    Attributes:
        scheme: label scheme of all.
        generated: the generated label maps.
        real: real ones; may be empty.
    """

    scheme: LabelScheme
    generated: tuple[Anatomy, ...]
    real: tuple[Anatomy, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: shares of the label maps, asymmetries, then every label map, the worst first.

        Real brains are measured too, each against the range of the others: what they do not reach cannot be asked for.
        """
        return self._facts

    @cached_property
    def _facts(self) -> dict[str, Any]:
        whole_range = RealRange.of(self.real, self.scheme) if self.real else None
        verdicts = [Verdict.of(one, whole_range, self.scheme) for one in self.generated]
        of_real = []
        for index, one in enumerate(self.real):
            others = (*self.real[:index], *self.real[index + 1 :])
            of_real.append(Verdict.of(one, RealRange.of(others, self.scheme) if others else None, self.scheme))
        return {
            "count": len(self.generated),
            "real": len(self.real),
            "shares": _shares(verdicts),
            "real_shares": _shares(of_real),
            "intervals_95": {"shares": _share_intervals(verdicts), "real_shares": _share_intervals(of_real)},
            "asymmetry": self._compare_asymmetries(),
            "label_maps": [one.to_dict() for one in sorted(verdicts, key=lambda one: -one.badness)],
        }

    def worst(self, count: int) -> list[str]:
        """Names of the worst label maps, the worst first."""
        return [str(case["name"]) for case in self.to_dict()["label_maps"][:count]]

    def _compare_asymmetries(self) -> dict[str, Any]:
        """Mean and deviation of each set, and the Kolmogorov-Smirnov test that both are distributed alike."""
        from scipy.stats import ks_2samp

        generated, real = _asymmetries(self.generated, self.scheme), _asymmetries(self.real, self.scheme)
        table = {}
        for name, values in generated.items():
            row: dict[str, Any] = {"generated": _mean_and_deviation(values)}
            if real.get(name):
                test = ks_2samp(values, real[name])
                row |= {
                    "real": _mean_and_deviation(real[name]),
                    "ks_distance": float(test.statistic),
                    "ks_p": float(test.pvalue),
                }
            table[name] = row
        return table


SHARE_TITLES = {
    "every_structure_present": "every structure",
    "lateral_ventricles_whole": f"each lateral ventricle in one piece ({MAIN_SHARE:.0%} of its voxels)",
    "no_ventricle_outside_brain": f"at most {MOST_EXPOSED} ventricle voxels outside the brain",
    "volumes_in_range": "all volumes in the range of real brains with such ventricles",
    "contacts_in_range": "all contacts between structures in that range",
    "all": "all of these",
}


def _asymmetries(brains: Sequence[Anatomy], scheme: LabelScheme) -> dict[str, tuple[float, ...]]:
    sides = {one.name: one.mirror for one in scheme.structures if one.mirror and "left" in one.name}
    found = {}
    for left, right in sides.items():
        pairs = [(one.measures.volumes_ml[left], one.measures.volumes_ml[right]) for one in brains]
        found[left] = tuple((a - b) / (a + b) for a, b in pairs if a + b > 0)
    return found


def _shares(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Share of the label maps that pass, by what they are looked at for."""
    return {key: sum(flags) / len(flags) for key, flags in _passed(verdicts).items()}


def _share_intervals(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {key: share_interval(sum(flags), len(flags)).to_dict() for key, flags in _passed(verdicts).items()}


def _passed(verdicts: Sequence[Verdict]) -> dict[str, list[bool]]:
    """Whether each label map passes, by what it is looked at for."""
    passed: dict[str, list[bool]] = {
        "every_structure_present": [not one.anatomy.measures.missing for one in verdicts],
        "lateral_ventricles_whole": [
            all(share >= MAIN_SHARE for share in one.anatomy.main_shares.values()) for one in verdicts
        ],
        "no_ventricle_outside_brain": [one.anatomy.exposed_voxels <= MOST_EXPOSED for one in verdicts],
    }
    if all(one.out_of_range is not None for one in verdicts):
        for what in ("volume", "contact"):
            passed[f"{what}s_in_range"] = [
                not any(key.startswith(what) for key in one.out_of_range or ()) for one in verdicts
            ]
    passed["all"] = [not one.anatomy.faults and not one.out_of_range for one in verdicts]
    return {key: flags for key, flags in passed.items() if flags}


def _mean_and_deviation(values: Sequence[float]) -> dict[str, Any]:
    array = np.array(values, dtype=np.float64)
    return {
        "count": len(array),
        "mean": float(array.mean()),
        "sd": float(array.std(ddof=1)) if len(array) > 1 else 0.0,
        "intervals_95": {"mean": mean_interval(array).to_dict()},
    }
