"""Generators side by side on held-out cases: fidelity, diversity, continuity, volume control, time and memory.

    python benchmarks/generator_comparison.py --real 501 --fold 0 --generator FOLDER --generator domain-randomization \
        --num 16 --schedule ventricles=uniform:20:80 --work comparison --json FILE --pictures DIR

The real cases are those of an nnU-Net dataset: its number or name, or the folder of its raw files. What the fold is
validated on is held out. Each generator makes its pairs in a process of its own, into a cache in `--work`: what is
there is not made again, so a run can be interrupted. Peak memory is that process's resident memory. Quality control
rejects no pair for its volumes, so that the volume error is the generator's own.

The figures are those of MedGen3D (arXiv 2304.04106, section 4.2 and table 1) beside others: means over axial, coronal
and sagittal slices of the Fréchet distance to the held-out cases (FID) and of the distance between two synthetic
images (LPIPS: higher is more diverse). Networks that learned photographs have to be given; without them, convolutions
with fixed random weights see the slices. The training cases, measured in the same way, are the reference.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.evaluation.benchmarking import length, peak_memory_gb, positive
from synthaug.evaluation.fold_cases import FoldCases
from synthaug.evaluation.slice_figures import LEAST_CASES
from synthaug.evaluation.view_survey import Look, ViewSurvey
from synthaug.quality import QualityConfig

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator
    from synthaug.precomputing import Progress
    from synthaug.store import CaseEntry, Store, StoreInfo

REPOSITORY = Path(__file__).resolve().parents[1]
QUALITY = QualityConfig(volume_tolerance=1000.0, max_attempts=8)

PAPER = {
    "DDPM": (34.9, 0.298),
    "3D-alpha-WGAN": (136.4, 0.289),
    "Vid2Vid": (48.2, 0.324),
    "MedGen3D": (40.3, 0.326),
}
"""FID and LPIPS of table 1 of MedGen3D, brain."""

NOTE = (
    "FID and LPIPS are means over axial, coronal and sagittal slices. Those of the papers' rows were seen by networks "
    "that learned photographs (Inception; LPIPS's own), on other data: figures of different extractors cannot be "
    "compared."
)


@dataclass(frozen=True)
class Plan:
    """What a generator is asked for.

    Attributes:
        folder: of its cache and its costs.
        info: head of the cache.
        spacing_mm: longest edge of a voxel.
        names: of the pairs.
    """

    folder: Path
    info: StoreInfo
    spacing_mm: float
    names: tuple[str, ...]

    @classmethod
    def of(cls, name: str, real: FoldCases, options: argparse.Namespace) -> Plan:
        """Load a generator and plan its pairs, so that what does not fit is found before hours of sampling.

        Raises:
            SynthAugError: no such generator, volumes that it does not allow, or other structures than the dataset's.
        """
        from synthaug.precomputing import plan_requests
        from synthaug.store import StoreInfo

        generator = _load(name, real, options.device)
        schedule = _schedule(generator, options.schedule)
        generator.scheme.resolve(schedule.structure)
        requests = plan_requests(generator, schedule, num=options.num, seed=options.seed, quality=QUALITY)
        longest = float(np.linalg.norm(generator.affine[:3, :3], axis=0).max())
        folder = _folder(name, options.work)
        return cls(folder, StoreInfo.of(generator), longest, tuple(one.name for one in requests))

    @cached_property
    def store(self) -> Store:
        """Its cache."""
        from synthaug.store import Store

        return Store.open(self.folder / "cache")

    @property
    def entries(self) -> list[CaseEntry]:
        """What is there of the pairs, the smallest that was asked for first."""
        found = [one for one in self.store.entries() if one.name in self.names]
        return sorted(found, key=lambda one: sum(one.requested_ml.values()))


def make_pairs(name: str, real: FoldCases, options: argparse.Namespace) -> None:
    """Make the pairs of a generator that are missing, and keep what they cost."""
    from synthaug.files.atomic import replace_file
    from synthaug.precomputing import ProgressLine, precompute
    from synthaug.store import Store, StoreInfo

    folder = _folder(name, options.work)
    generator = _load(name, real, options.device)
    store = Store.open_or_create(folder / "cache", StoreInfo.of(generator))
    before, show = read_cost(folder), ProgressLine()

    def keep_cost(progress: Progress) -> None:
        show(progress)
        made = progress.settled - progress.settled_before
        if made:  # at once: a run that is interrupted has told its costs
            cost = {
                "requests": before["requests"] + made,
                "seconds": before["seconds"] + progress.seconds,
                "peak_memory_gb": max(before["peak_memory_gb"], peak_memory_gb()),
            }
            replace_file(folder / "cost.json", json.dumps(cost).encode())

    schedule = _schedule(generator, options.schedule)
    precompute(
        generator,
        store,
        num=options.num,
        schedule=schedule,
        seed=options.seed,
        quality=QUALITY,
        on_progress=keep_cost,
    )


def read_cost(folder: Path) -> dict[str, float]:
    """Requests that were settled, the seconds of all together and the largest peak memory, over all runs."""
    path = folder / "cost.json"
    found: dict[str, float] = {"requests": 0, "seconds": 0.0, "peak_memory_gb": 0.0}
    return found | json.loads(path.read_text()) if path.is_file() else found


def _load(name: str, real: FoldCases, device: str) -> PairGenerator:
    from synthaug.generators.registry import draws_from_cases
    from synthaug.precomputing import load_named_generator

    if not draws_from_cases(name, {}):
        return load_named_generator(name, device=device)
    drawn_from = {"cases": real.training, "scheme": real.dataset.scheme, "channels": real.dataset.channels}
    return load_named_generator(name, device=device, **drawn_from)


def _schedule(generator: PairGenerator, text: str | None) -> Any:
    from synthaug.precomputing.requests import control_schedule
    from synthaug.schedules import parse_schedule

    return control_schedule(generator) if text is None else parse_schedule(text)


def _folder(name: str, work: Path) -> Path:
    """Folder of a generator: two of one name in different places have two."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", Path(name).name).strip("-")
    return work / f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def making_row(plan: Plan) -> dict[str, Any]:
    """What the pairs of a generator cost, rejected attempts included, and their volumes beside what was asked for."""
    entries, cost = plan.entries, read_cost(plan.folder)
    errors = [
        abs(one.realised_ml[name] / asked - 1) for one in entries for name, asked in one.requested_ml.items() if asked
    ]
    told = cost["requests"] > 0
    return {
        "volume_error": _mean(errors),
        "attempts": _mean([one.attempts for one in entries]),
        "seconds_per_pair": cost["seconds"] / cost["requests"] if told else None,
        "peak_memory_gb": cost["peak_memory_gb"] if told else None,
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


COLUMNS: dict[str, tuple[str, str]] = {
    "fid": ("FID", ".2f"),
    "block_frechet": ("Fréchet, shipped image encoder", ".2f"),
    "lpips": ("LPIPS", ".3f"),
    "ms_ssim": ("MS-SSIM", ".3f"),
    "sharpness": ("sharpness, of held-out cases' own", ".2f"),
    "neighbour_dice": ("Dice of neighbouring slices", ".3f"),
    "dice_at_joins": ("at joins", ".3f"),
    "dice_beside_joins": ("at the same heights without a join", ".3f"),
    "volume_error": ("volume error", ".1%"),
    "attempts": ("attempts", ".1f"),
    "seconds_per_pair": ("s a pair", ".2f"),
    "peak_memory_gb": ("peak memory, GB", ".2f"),
}


def table(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""

    def line(title: str, cases: Any, cells: Iterable[str]) -> str:
        return f"| {title} | {cases} | {' | '.join(cells)} |"

    named = {one: f"{COLUMNS[one][0]}, {report[f'{one}_extractor']}" for one in ("fid", "lpips")}
    lines = [
        line("", "cases", [named.get(one, title) for one, (title, _) in COLUMNS.items()]),
        "|---|--:|" + "--:|" * len(COLUMNS),
        *(line(row["title"], row["cases"], [_shown(row.get(one), one) for one in COLUMNS]) for row in report["rows"]),
    ]
    for row in report["papers"]:
        shown = {"fid": f"{row['fid']:g} (Inception)", "lpips": f"{row['lpips']:g} (learned)"}
        lines.append(line(f"{row['title']}, as published", "-", [shown.get(one, "-") for one in COLUMNS]))
    lines += [
        "",
        f"Distances are to {report['held_out_cases']} held-out cases, from {report['compared_cases']} of each row, "
        f"at {report['spacing_mm']:g} mm; a dash: not known, or too few cases. {NOTE}",
    ]
    return "\n".join(lines)


def _shown(value: float | None, column: str) -> str:
    return "-" if value is None else format(value, COLUMNS[column][1])


def draw_picture(path: Path, real: FoldCases, plans: Mapping[str, Plan], look: Look) -> None:
    """Three views of a held-out case and of the pair in the middle of what each generator was asked for."""
    from synthaug.reports.preview import Card, draw_pairs

    name, pair = next(real.read(real.held_out[:1]))
    cards = [Card(look.place(pair, is_real=True)[0], f"held out: {name}")]
    for title, plan in plans.items():
        if entries := plan.entries:
            middle = plan.store.read(entries[len(entries) // 2].name)
            cards.append(Card(look.place(middle, is_real=False)[0], title))
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_pairs(path, [cards])


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Make all pairs and measure them.

    Raises:
        SynthAugError: whatever does not fit, before anything is made.
    """
    if options.json is not None and options.json.is_dir():
        raise ConfigurationError(f"--json {options.json}: is a folder; give a file")
    if options.pictures is not None and options.pictures.is_file():
        raise ConfigurationError(f"--pictures {options.pictures}: is a file; give a folder")
    real = FoldCases.find(options.real, options.fold)
    titles = _titles(options.generator)
    plans = {titles[name]: Plan.of(name, real, options) for name in options.generator}
    heads = {f"--generator {title}": plan.info for title, plan in plans.items()}
    real.refuse_lacking_structures({option: info.scheme for option, info in heads.items()})
    real.refuse_leaks({option: info.training_cases for option, info in heads.items()})
    spacing_mm = options.spacing_mm or max(plan.spacing_mm for plan in plans.values())
    look = Look.at(
        (pair for _, pair in real.read(real.held_out)),
        real.dataset.scheme.names,
        [info.scheme for info in heads.values()],
        spacing_mm=spacing_mm,
        alexnet=options.lpips_weights,
    )
    for name in options.generator:
        print(f"pairs of {titles[name]}", file=sys.stderr, flush=True)
        _run_part(name, options)

    held_out = ViewSurvey.of(real.read(real.held_out), look, is_real=True)
    sets = {"training cases": ViewSurvey.of(real.read(real.training[: options.num]), look, is_real=True)}
    for title, plan in plans.items():
        pairs = ((one.name, plan.store.read(one.name)) for one in plan.entries)
        sets[title] = ViewSurvey.of(pairs, look, is_real=False)
    sizes = [len(one.appearances) for one in sets.values() if len(one.appearances) >= LEAST_CASES]
    count = min(sizes, default=0)
    itself = held_out.figures(held_out, count)
    rows = [{"title": "held-out cases", **itself, "fid": None, "block_frechet": None}]
    for title, seen in sets.items():
        if seen.appearances or title in plans:
            made = making_row(plans[title]) if title in plans else {}
            rows.append({"title": title, **seen.figures(held_out, count), **made})
    if options.pictures is not None:
        draw_picture(options.pictures / "generators.png", real, plans, look)
    return {
        "dataset": real.dataset.name,
        "fold": options.fold,
        "held_out_cases": len(real.held_out),
        "compared_cases": count,
        "spacing_mm": spacing_mm,
        "fid_extractor": "random convolutions",
        "lpips_extractor": "random convolutions" if options.lpips_weights is None else "AlexNet, learned weights",
        "rows": rows,
        "papers": [{"title": name, "fid": fid, "lpips": lpips} for name, (fid, lpips) in PAPER.items()],
        "note": NOTE,
    }


def _titles(names: Sequence[str]) -> dict[str, str]:
    """Title of each generator: the last part of its path, or all of it where two have the same."""
    if len(set(names)) < len(names):
        raise ConfigurationError(f"--generator {', '.join(names)}: names one of them twice; give each once")
    short = [Path(name).name for name in names]
    return {name: one if short.count(one) == 1 else name for name, one in zip(names, short, strict=True)}


class PartError(SynthAugError):
    """A process that made pairs has failed, and has said why."""


def _run_part(name: str, options: argparse.Namespace) -> None:
    """Make the pairs of one generator in a fresh process: its memory is its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--make", "--generator", name]
    for one in ("real", "fold", "num", "schedule", "seed", "device", "work"):
        value = getattr(options, one)
        if value is not None:
            command += [f"--{one}", str(value)]
    search_path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    finished = subprocess.run(command, env={**os.environ, "PYTHONPATH": search_path})
    if finished.returncode:
        raise PartError(f"--generator {name}: its pairs could not be made; the reason stands above")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare generators, or make the pairs of one of them in this process."""
    options = _parser().parse_args(arguments)
    sys.path.insert(0, str(REPOSITORY))
    try:
        if options.make:
            (name,) = options.generator
            make_pairs(name, FoldCases.find(options.real, options.fold), options)
            return 0
        report = compare(options)
    except SynthAugError as error:
        print(f"generator_comparison: {error}", file=sys.stderr)
        return 2
    print(table(report))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--real", "--dataset", required=True, metavar="DIR_OR_DATASET", help="nnU-Net raw dataset, or number or name"
    )
    parser.add_argument("--fold", default="0", help="its validation cases are held out")
    parser.add_argument(
        "--generator", action="append", required=True, help="name, folder or python:MODULE:FACTORY; repeats"
    )
    parser.add_argument("--num", type=positive, default=16, help="pairs of each generator")
    parser.add_argument("--schedule", help="their volumes in mL; default: over all that the generator allows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=Path("generator-comparison"), help="caches of the pairs")
    parser.add_argument("--spacing-mm", type=length, help="of all images; default: the generators' coarsest")
    parser.add_argument("--lpips-weights", type=Path, metavar="FILE", help="torchvision's AlexNet, for learned LPIPS")
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also draw slices of each into this folder")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
