"""What further real cases would give instead of synthetic pairs: a study's test cases, each beside the others.

    python benchmarks/leave_one_out.py examples/study/enlarged_ventricles.json --out leave-one-out

For each test case of a study, its networks learn all other real cases, the other test cases among them, and no pair:
what a group would gain that finds a few more scans of the kind that it lacks. Interrupt it and run it again, or run it
several times at once; the table comes when all trainings are done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from synthaug.study.configuration import StudyConfig
    from synthaug.study.tested_case import TestedCase

COLUMNS = ("network", "cases, seeds", "MAE ± SD of the error (mL)", "bias (mL)", "Dice", "error by case (mL)")


def without(config: StudyConfig, case: str) -> StudyConfig:
    """The study with one test case, real cases alone, and all others to train on."""
    return replace(
        config, fold=None, test_cases=(case,), strategies=("real",), generators={}, schedules={}, real_cases=()
    )


def measure(config: StudyConfig, folder: Path, device: str) -> dict[str, dict[int, list[TestedCase]]]:
    """Train what is missing, and give the tested cases by network and seed.

    Args:
        config: the study.
        folder: of one study for each test case.
        device: torch device, or auto.

    Raises:
        SynthAugError: as a study does.
    """
    from synthaug.study.experiment import Experiment
    from synthaug.study.held_out import HeldOut

    tested: dict[str, dict[int, list[TestedCase]]] = {}
    for case in (paths.identifier for paths in HeldOut.of(config).test):
        experiment = Experiment(without(config, case), folder / case, device=device)
        experiment.check()
        experiment.work()
        for run, result in experiment.workspace.results(experiment.runs).items():
            tested.setdefault(run.arm.segmenter, {}).setdefault(run.seed, []).extend(result.tested)
    return tested


def row(network: str, by_seed: Mapping[int, Sequence[TestedCase]]) -> tuple[str, ...]:
    """Figures as those of a study's arm, and the mean error of each case over the seeds."""
    from synthaug.study.statistics import EVERY_SIZE, arm_figures

    found = arm_figures(by_seed, EVERY_SIZE)
    errors: dict[str, list[float]] = {}
    for one in (one for cases in by_seed.values() for one in cases):
        errors.setdefault(one.identifier, []).append(one.error_ml)
    spread = "" if found["sd_ml"] is None else f" ± {found['sd_ml']:.2f}"
    return (
        network,
        f"{found['cases']}, {found['seeds']}",
        f"{found['mae_ml']:.2f}{spread}",
        f"{found['bias_ml']:.2f}",
        f"{found['dice']:.3f}",
        ", ".join(f"{case} {np.mean(ones):.2f}" for case, ones in errors.items()),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, test and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="study file, of which data set, test cases, networks and seeds count")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings; run again to continue")
    parser.add_argument("--device", default="auto", help="torch device")
    options = parser.parse_args(arguments)

    from synthaug.cli.verbosity import log_to_stderr
    from synthaug.configuration import load_config
    from synthaug.errors import SynthAugError
    from synthaug.reports.page import markdown_table
    from synthaug.study.configuration import StudyConfig

    log_to_stderr()
    try:
        tested = measure(load_config(StudyConfig, options.study), options.out, options.device)
    except SynthAugError as mistake:
        print(f"leave_one_out: {mistake}", file=sys.stderr)
        return 2
    print("\n".join(markdown_table(COLUMNS, [row(name, by_seed) for name, by_seed in tested.items()], 1)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
