"""At which level of a guided LDM anatomy and folds are lost, one table.

    python benchmarks/detail_levels.py --real LABEL_MAPS --num 4

Real label maps as they are, after the round trip through the label-map autoencoder, and with the finest level of their
latent, or the two finest ones, sampled anew on what the real label map has coarser; and label maps of the generator
whose volumes and contacts are left as they come. Each row adds one step of the way from real to generated. The range
is that of the real label maps, so that these are in it themselves.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from benchmarks.sampler_sweep import AS_THEY_COME
from synthaug.evaluation.benchmarking import positive

SETTINGS: dict[str, Any] = {**AS_THEY_COME, "volume_shift": 0.0, "volume_rounds": 0}
REAL, GENERATED = "real label maps", "label maps of the generator"
REDRAWN = {"after the round trip": 0, "the finest level sampled anew": 1, "the two finest levels sampled anew": 2}


@dataclass(frozen=True)
class Row:
    """Label maps of one kind.

    Attributes:
        count: how many.
        out_of_range: mean number of volumes and contacts out of the range of real brains.
        pieces: mean number of pieces of the structure; voxels that share a face are of one piece.
        surface: mean number of its outer faces, in thousands: more folds, more surface.
    """

    count: int
    out_of_range: float
    pieces: float
    surface: float


def measure(labels: Sequence[np.ndarray], scheme: Any, voxel_ml: float, real: Any, ids: Sequence[int]) -> Row:
    """Look at label maps ``(X, Y, Z)``; the structure is all that has one of the ids."""
    from synthaug.evaluation.anatomy import Anatomy
    from synthaug.evaluation.anatomy_report import Verdict

    beyond, pieces, surface = [], [], []
    for label in labels:
        verdict = Verdict.of(Anatomy.of("", label, scheme, voxel_ml), real, scheme)
        inside = np.pad(np.isin(label, ids), 1)
        beyond.append(len(verdict.out_of_range or {}))
        pieces.append(ndimage.label(inside)[1])
        surface.append(sum(np.count_nonzero(np.diff(inside, axis=axis)) for axis in range(3)) / 1000)
    return Row(len(labels), float(np.mean(beyond)), float(np.mean(pieces)), float(np.mean(surface)))


def rows(options: argparse.Namespace) -> Iterator[tuple[str, Row]]:
    """One row after the other, with its name."""
    from synthaug.conditions import Condition
    from synthaug.evaluation.anatomy import Anatomy
    from synthaug.evaluation.anatomy_report import RealRange
    from synthaug.evaluation.label_maps import LabelMaps
    from synthaug.fitting.case_form import CaseForm
    from synthaug.fitting.cases import load_label_case
    from synthaug.precomputing import load_named_generator

    loaded: Any = load_named_generator(options.generator, device=options.device, **SETTINGS)
    scheme, grid = loaded.scheme, loaded.config.grid
    ids = scheme.resolve(options.structure)
    maps = [LabelMaps.find(folder, scheme, None) for folder in options.real]
    form = CaseForm.plain(scheme, (), grid)
    found = [np.asarray(load_label_case(path, form, one.mapping).label) for one in maps for path in one.paths]
    real = RealRange.of([Anatomy.of("", label, scheme, grid.voxel_volume_ml) for label in found], scheme)
    spread_evenly = np.linspace(0, len(found) - 1, min(options.num, len(found))).round().astype(int)
    chosen = [found[place] for place in spread_evenly]

    def row(labels: Sequence[np.ndarray]) -> Row:
        return measure(labels, scheme, grid.voxel_volume_ml, real, ids)

    yield REAL, row(chosen)
    for name, redrawn in REDRAWN.items():
        labels = [
            loaded.reconstruct_label(torch.from_numpy(label), redrawn=redrawn, seed=seed).numpy()
            for seed, label in enumerate(chosen)
        ]
        yield name, row(labels)
    control = next(iter(loaded.bounds.limits_ml))
    volumes_ml = [float(np.isin(label, scheme.resolve(control)).sum()) * grid.voxel_volume_ml for label in chosen]
    conditions = [Condition({control: one}, extrapolate=True) for one in volumes_ml]
    yield GENERATED, row([loaded.sample_labels([one], [seed])[0] for seed, one in enumerate(conditions)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="ventricles-t1-1mm", help="name or folder of a guided LDM")
    parser.add_argument("--real", type=Path, action="append", required=True, help="real label maps; repeats")
    parser.add_argument("--structure", default="cerebral_white_matter", help="whose pieces and surface are counted")
    parser.add_argument("--num", type=positive, default=4, help="label maps in each row")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args(arguments)
    measured = {}
    print(f"| {options.structure} | maps | out of range | pieces | surface, thousand faces |")
    print("|---|---:|---:|---:|---:|")
    for name, row in rows(options):
        measured[name] = vars(row)
        print(f"| {name} | {row.count} | {row.out_of_range:.1f} | {row.pieces:.0f} | {row.surface:.0f} |", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(measured, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
