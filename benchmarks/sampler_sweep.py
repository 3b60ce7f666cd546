"""Volume error, anatomy and time of label maps against the settings of their sampler, one table.

    python benchmarks/sampler_sweep.py --num 8 --real LABEL_MAPS --json sweep.json

Each row changes some settings of the generator's own; the same targets and seeds are used in every row. `open loop`
rows show the model's own answer, without feedback, shift and repeated samples.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

AS_THEY_COME = {"anatomy_rounds": 0, "enclosed": []}
"""Volumes and contacts of the structures are not settled, which would hide what the other settings do to them."""

OPEN = {"volume_feedback": 0.0, "volume_shift": 0.0, "volume_rounds": 0}
CHANGES: dict[str, dict[str, Any]] = {
    "volumes and contacts as they come": {},
    "open loop": OPEN,
    "open loop, guidance 2": {**OPEN, "guidance_scale": 2.0},
    "feedback alone": {**OPEN, "volume_feedback": 1.0},
    "guidance 1.5": {"guidance_scale": 1.5},
    "guidance 2": {"guidance_scale": 2.0},
    "guidance 2 between 0.8 and 1": {"guidance_scale": 2.0, "guidance_interval": [0.8, 1.0]},
    "other volumes left to the model": {"complete_volumes": False},
    "pieces as they come": {"one_piece": []},
    "detail at temperature 0.5": {"detail_temperature": 0.5},
    "detail at temperature 0.8": {"detail_temperature": 0.8},
    "detail at temperature 1.35": {"detail_temperature": 1.35},
    "heads at temperature 0.85": {"mask_temperature": 0.85},
    "thin structures as they come": {"thin": []},
    "4 steps": {"mask_steps": 4},
    "12 steps": {"mask_steps": 12},
    "50 steps": {"mask_steps": 50},
    "8 steps for each detail": {"detail_steps": 8},
    "50 steps for each detail": {"detail_steps": 50},
}
ROWS = {"as shipped": {}, **{name: {**AS_THEY_COME, **changes} for name, changes in CHANGES.items()}}


@dataclass(frozen=True)
class Row:
    """Label maps of one set of settings.

    Attributes:
        mean_error: mean over label maps of the relative error of the volume.
        faulty: share of label maps with a missing structure, a lateral ventricle in pieces or ventricles outside the
            brain.
        out_of_range: mean number of volumes and contacts out of the range of real brains; None without real ones.
        seconds: for one label map.
    """

    mean_error: float
    faulty: float
    out_of_range: float | None
    seconds: float


def measure(generator: str, changes: Mapping[str, Any], options: argparse.Namespace, real: Any) -> Row:
    """Sample label maps with some settings changed."""
    from synthaug.conditions import Condition
    from synthaug.evaluation.anatomy import Anatomy
    from synthaug.evaluation.anatomy_report import Verdict
    from synthaug.precomputing import load_named_generator

    loaded: Any = load_named_generator(generator, device=options.device, **changes)
    control, (low, high) = next(iter(loaded.bounds.limits_ml.items()))
    low, high = options.volumes or (low, high)
    targets = np.exp(np.linspace(np.log(low), np.log(high), options.num))
    errors, faulty, beyond, seconds = [], [], [], []
    for seed, target_ml in enumerate(targets):
        started = time.perf_counter()
        (label,) = loaded.sample_labels([Condition({control: float(target_ml)})], [seed])
        seconds.append(time.perf_counter() - started)
        voxel_ml = loaded.config.grid.voxel_volume_ml
        volume_ml = float(np.isin(label, loaded.scheme.resolve(control)).sum()) * voxel_ml
        errors.append(abs(volume_ml / target_ml - 1))
        verdict = Verdict.of(Anatomy.of(str(seed), label, loaded.scheme, voxel_ml), real, loaded.scheme)
        faulty.append(bool(verdict.anatomy.faults))
        if verdict.out_of_range is not None:
            beyond.append(len(verdict.out_of_range))
    mean_beyond = float(np.mean(beyond)) if beyond else None
    return Row(float(np.mean(errors)), float(np.mean(faulty)), mean_beyond, float(np.mean(seconds)))


def real_range(generator: str, folders: Sequence[Path]) -> Any:
    """Range of real brains on the generator's grid, or None."""
    from synthaug.evaluation.anatomy_report import RealRange
    from synthaug.evaluation.anatomy_survey import real_anatomies
    from synthaug.precomputing import load_named_generator

    if not folders:
        return None
    loaded: Any = load_named_generator(generator, device="cpu")
    grid = loaded.config.grid
    found = [one for folder in folders for one in real_anatomies(folder, loaded.scheme, grid)]
    return RealRange.of(found, loaded.scheme)


def table(rows: Mapping[str, Row]) -> str:
    """The rows as Markdown."""
    lines = ["| settings | volume error | faulty | out of range | time |", "|---|---:|---:|---:|---:|"]
    for name, row in rows.items():
        beyond = "-" if row.out_of_range is None else f"{row.out_of_range:.1f}"
        lines.append(f"| {name} | {row.mean_error:.1%} | {row.faulty:.0%} | {beyond} | {row.seconds:.1f} s |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="ventricles-t1-1mm", help="name or folder of a guided LDM")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--num", type=int, default=4, help="label maps in each row")
    parser.add_argument("--volumes", type=float, nargs=2, default=(8.0, 150.0), help="lowest and highest target in mL")
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only these rows; repeats")
    parser.add_argument(
        "--real", type=Path, action="append", default=[], help="real label maps to compare with; repeats"
    )
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args(arguments)
    real = real_range(options.generator, options.real)
    rows = {}
    for name in options.row or ROWS:
        rows[name] = measure(options.generator, ROWS[name], options, real)
        print(f"{name}: {vars(rows[name])}", file=sys.stderr)
    print(table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps({name: vars(row) for name, row in rows.items()}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
