"""The results of a study, by arm, with what is missing and what does not count."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from synthaug.study.arms import FROM_SCRATCH, Arm, Run
from synthaug.study.configuration import StudyConfig
from synthaug.study.statistics import METRICS, Comparison, SizeBin, arm_figures, compare, holm, size_bins
from synthaug.study.tested_case import TestedCase
from synthaug.study.workspace import RunResult


@dataclass(frozen=True)
class StudyResults:
    """Figures of a study.

    Attributes:
        config: the study.
        runs: all of its runs.
        results: of those that are done.
    """

    config: StudyConfig
    runs: tuple[Run, ...]
    results: Mapping[Run, RunResult]

    @cached_property
    def by_arm(self) -> dict[Arm, dict[int, tuple[TestedCase, ...]]]:
        """Tested cases by arm and seed, of runs that made all their steps."""
        found: dict[Arm, dict[int, tuple[TestedCase, ...]]] = {}
        for run in self.runs:
            result = self.results.get(run)
            if result is not None and not result.is_short:
                found.setdefault(run.arm, {})[run.seed] = result.tested
        return found

    @property
    def missing(self) -> list[Run]:
        """Runs without a result."""
        return [run for run in self.runs if run not in self.results]

    @property
    def short(self) -> list[Run]:
        """Runs that did not reach their steps."""
        return [run for run, result in self.results.items() if result.is_short]

    @cached_property
    def bins(self) -> list[SizeBin]:
        """Sizes of the test cases."""
        volumes = {one.identifier: one.volume_ml for by_seed in self.by_arm.values() for cases in by_seed.values()
                   for one in cases}  # fmt: skip
        return size_bins(list(volumes.values()), self.config.bin_edges_ml)

    @property
    def complete(self) -> list[Run]:
        """Runs that made all their steps."""
        return [run for run, result in self.results.items() if not result.is_short]

    @property
    def notes(self) -> list[str]:
        """What is to be known of the pairs of complete runs, each once."""
        return list(dict.fromkeys(note for run in self.complete for note in self.results[run].notes))

    @property
    def trained_on(self) -> dict[str, int]:
        """Complete runs by what they were trained on: one more reason why figures differ."""
        found = Counter(self.results[run].trained_on for run in self.complete)
        return {device: count for device, count in sorted(found.items()) if device}

    def figures(self, arm: Arm, within: SizeBin) -> dict[str, Any]:
        """Figures of an arm over the cases of a size; see `arm_figures`.

        Args:
            arm: one of `by_arm`.
            within: the size.

        Raises:
            KeyError: no run of the arm is complete.
        """
        return arm_figures(self.by_arm[arm], within)

    def baseline_of(self, arm: Arm) -> Arm | None:
        """What an arm is compared with: real cases alone, as many and in the same network; None for itself."""
        strategy = FROM_SCRATCH if self.config.transfer else "real"
        of_network = [one for one in self.by_arm if one.strategy == strategy and one.segmenter == arm.segmenter]
        if arm in of_network or not of_network:
            return None
        same = [one for one in of_network if one.real_cases == arm.real_cases]
        return (same or sorted(of_network, key=lambda one: one.real_cases or 0))[-1]

    @cached_property
    def comparisons(self) -> dict[Arm, list[Comparison]]:
        """Paired tests of every arm against its baseline, one for each metric."""
        pairs = {arm: self.baseline_of(arm) for arm in self.by_arm}
        found = {
            arm: [compare(self.by_arm[arm], self.by_arm[baseline], metric) for metric in METRICS]
            for arm, baseline in pairs.items()
            if baseline is not None
        }
        for index in range(len(METRICS)):
            tested = [arm for arm, ones in found.items() if ones[index].p is not None]
            adjusted = holm([found[arm][index].p or 0.0 for arm in tested])
            for arm, value in zip(tested, adjusted, strict=True):
                found[arm][index] = replace(found[arm][index], adjusted_p=value)
        return found

    def to_dict(self) -> dict[str, Any]:
        """All figures, JSON-ready."""
        return {
            "runs": len(self.runs),
            "missing": [run.name for run in self.missing],
            "short": [run.name for run in self.short],
            "notes": self.notes,
            "trained_on": self.trained_on,
            "steps": self.config.steps,
            "structure": self.config.structure,
            "arms": [self._described(arm) for arm in self.by_arm],
        }

    def _described(self, arm: Arm) -> dict[str, Any]:
        pairs = [result.pairs for run, result in self.results.items() if run.arm == arm]
        return {
            **vars(arm),
            "title": arm.title,
            "pairs": pairs[0] if pairs else 0,
            "sizes": [
                {"name": one.name, "low_ml": one.low_ml, "high_ml": one.high_ml if one.high_ml < math.inf else None}
                | self.figures(arm, one)
                for one in self.bins
            ],
            "comparisons": [vars(one) for one in self.comparisons.get(arm, [])],
        }
