"""Anatomy of many pairs, looked at one by one; only the worst are kept."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from synthaug.evaluation.anatomy import Anatomy
from synthaug.evaluation.anatomy_report import AnatomyReport, RealRange, Verdict
from synthaug.evaluation.label_maps import LabelMaps
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.volumes import LabeledVolume, case_identifier
from synthaug.volumes.grid import Grid

WORST = 5


class AnatomySurvey:
    """Look at pairs as they are made.

    Args:
        scheme: label scheme of the pairs.
        real: real label maps, on the pairs' grid; may be empty.
    """

    def __init__(self, scheme: LabelScheme, real: tuple[Anatomy, ...] = ()) -> None:
        self._scheme = scheme
        self._real = real
        self._range = RealRange.of(real, scheme) if real else None
        self._seen: list[Anatomy] = []
        self._worst: list[tuple[float, int, str, LabeledVolume]] = []

    def add(self, name: str, pair: LabeledVolume) -> None:
        """Look at a pair."""
        anatomy = Anatomy.of(name, pair.label, self._scheme, float(np.prod(pair.spacing_mm)) / 1000)
        badness = Verdict.of(anatomy, self._range, self._scheme).badness
        heapq.heappush(self._worst, (badness, -len(self._seen), name, pair))
        if len(self._worst) > WORST:
            heapq.heappop(self._worst)
        self._seen.append(anatomy)

    def report(self) -> AnatomyReport:
        """What was seen so far."""
        return AnatomyReport(self._scheme, tuple(self._seen), self._real)

    def worst(self) -> list[tuple[str, LabeledVolume]]:
        """Names and pairs of the worst five, the worst first."""
        return [(name, pair) for _, _, name, pair in sorted(self._worst, key=lambda one: one[:2], reverse=True)]


def real_anatomies(
    folder: Path, scheme: LabelScheme, grid: Grid, mapping: LabelMapping | None = None
) -> Iterator[Anatomy]:
    """Real label maps, placed on the grid of the generated ones: contacts depend on the size of a voxel.

    Raises:
        SynthAugError: a file that cannot be read, or holds labels outside the scheme.
    """
    from synthaug.fitting.case_form import CaseForm
    from synthaug.fitting.cases import load_label_case

    for path in LabelMaps.find(folder, scheme, mapping).paths:
        case = load_label_case(path, CaseForm.plain(scheme, (), grid), mapping)
        yield Anatomy.of(case_identifier(path), np.asarray(case.label), scheme, grid.voxel_volume_ml)
