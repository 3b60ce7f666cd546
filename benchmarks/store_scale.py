"""A cache of many cases: how long does it take to open it, and to draw from it, and how much memory does it take?

    python benchmarks/store_scale.py --work FOLDER              # 10,000 cases of 8 x 8 x 8 voxels

The cases are written through the store, by several processes. Each measurement is a process of its own: opening means
the store, its entries and the index of their volumes (all that a training needs to draw), with the events that name
the cases; from the records of the cases alone, as after a restoration from a backup without events; and once more after
that. A draw is the choice of a case by a schedule; reading its arrays is told apart. Exit code 1 where a limit is
missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.conditions import VolumeBounds
from synthaug.labels import LabelScheme
from synthaug.sources import Source
from synthaug.store import Store, StoreInfo
from synthaug.volumes import LabeledVolume

LIMITS = {"open_s": 1.0, "draw_ms": 1.0, "draw_at_another_progress_ms": 1.0, "memory_mb": 300.0}
SHAPE = (8, 8, 8)
SCHEDULE = "uniform:20:120"
MOVING_SCHEDULE = {
    "kind": "piecewise",
    "stages": [
        {"until": 0.5, "schedule": {"kind": "normal", "mean_ml": 40, "sd_ml": 15}},
        {"until": 1.0, "schedule": {"kind": "log-uniform", "low_ml": 20, "high_ml": 120}},
    ],
}
FINGERPRINT = "0" * 64


def store_info() -> StoreInfo:
    """The head of the cache."""
    scheme = LabelScheme.load("ventricles-t1")
    bounds = VolumeBounds({"ventricles": (0.0, 1000.0)})
    return StoreInfo(scheme, ("T1",), "tiny", FINGERPRINT, bounds_ml=bounds.limits_ml)


def fill(folder: Path, first: int, last: int) -> None:
    """Write cases: random labels on a grid whose voxels make up 20 to 120 mL of ventricles."""
    info = store_info()
    store = Store.open_or_create(folder, info)
    ids, ventricles = np.array(info.scheme.ids, np.int16), info.scheme.resolve("ventricles")
    for number in range(first, last):
        rng = np.random.default_rng(number)
        label = rng.choice(ids, SHAPE).astype(np.int16)
        spacing_mm = float(np.cbrt(rng.uniform(20, 120) * 1000 / max(1, np.isin(label, ventricles).sum())))
        image = rng.normal(100, 10, (1, *SHAPE)).astype(np.float32)
        pair = LabeledVolume(image, label, np.diag([spacing_mm] * 3 + [1.0]), info.scheme, info.channels, {})
        pair.provenance.update(generator=info.generator, generator_sha256=FINGERPRINT, seed=number)
        pair.provenance["requested_ml"] = {"ventricles": pair.volumes_ml()["ventricles"]}
        store.add(f"case{number:06d}", pair)


def measure(folder: Path) -> dict[str, float]:
    """Open a cache as a training does, and draw from it."""
    from synthaug.schedules import parse_schedule
    from synthaug.sources import StoreSource

    imported_mb = _peak_mb()
    began, cpu = time.perf_counter(), time.process_time()
    store = Store.open(folder)
    head_ms = 1000 * (time.perf_counter() - began)
    source = StoreSource(store, parse_schedule(SCHEDULE))
    open_s, open_cpu_s = time.perf_counter() - began, time.process_time() - cpu
    draw_ms = _median_draw_ms(source, 2000)
    moving_ms = _median_draw_ms(StoreSource(store, parse_schedule(MOVING_SCHEDULE)), 200)
    draw = source.draw(0, seed=0, epoch=0)
    began = time.perf_counter()
    draw.read()
    facts = {"cases": float(len(source)), "head_ms": head_ms, "open_s": open_s}
    facts |= {"open_cpu_s": open_cpu_s, "draw_ms": draw_ms}
    facts |= {"draw_at_another_progress_ms": moving_ms, "read_ms": 1000 * (time.perf_counter() - began)}
    return facts | {"memory_mb": _peak_mb(), "memory_of_imports_mb": imported_mb}


def _median_draw_ms(source: Source, draws: int) -> float:
    """The median: a draw is so short that a turn of another program in between is many times as long."""
    seconds = []
    for index in range(draws):
        began = time.perf_counter()
        source.draw(index, seed=0, epoch=0, progress=index / draws)
        seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds))


def _peak_mb() -> float:
    """Of this program alone: ``ru_maxrss`` also counts what its parent held when it was started."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _measured(folder: Path, repeats: int) -> dict[str, float]:
    """The least of what some processes measured: others may be using the machine."""
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", str(folder)]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(repeats)]
    return {name: min(run[name] for run in runs) for name in runs[0]}


def _told(facts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in facts.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the cache where it is not full, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=4, help="that write")
    parser.add_argument("--repeats", type=int, default=5, help="processes that measure each figure; the least is told")
    parser.add_argument("--work", type=Path, default=Path("store-scale"), help="folder of the cache")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure is not None:
        print(json.dumps(measure(options.measure)))
        return 0
    began = time.perf_counter()
    folder = options.work / f"cache-{options.cases}"
    edges = np.linspace(0, options.cases, options.processes + 1).astype(int)
    context = multiprocessing.get_context("spawn")
    processes: list[Any] = [
        context.Process(target=fill, args=(folder, int(first), int(last))) for first, last in itertools.pairwise(edges)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(f"{options.cases} cases written by {options.processes} processes: {time.perf_counter() - began:.0f} s")
    found = {"with the events": _measured(folder, options.repeats)}
    events, aside = folder / "events", options.work / "events-aside"
    shutil.move(events, aside)
    try:
        # the first to open it notes down what it found for those after it
        first = _measured(folder, 1)
        print("from the records alone, once: " + _told(first))
        found["after that"] = _measured(folder, options.repeats)
    finally:
        shutil.rmtree(events, ignore_errors=True)
        shutil.move(aside, events)
    wrong = []
    for what, facts in found.items():
        print(f"{what}: {_told(facts)}")
        wrong += [
            f"{what}: {name} {facts[name]:.4g}, at most {most:g}" for name, most in LIMITS.items() if facts[name] > most
        ]
        wrong += [] if facts["cases"] == options.cases else [f"{what}: {facts['cases']:.0f} cases"]
    for line in wrong:
        print(line)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
