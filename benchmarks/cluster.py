"""A cluster on one machine: do its processes make every case exactly once, whatever goes wrong, and how fast?

    python benchmarks/cluster.py speed --work FOLDER            # 1, 2, 4 and 8 processes, cases of 1 s that sleep
    python benchmarks/cluster.py chaos --work FOLDER            # 1,000 such cases, 8 processes, everything goes wrong
    python benchmarks/cluster.py real --work FOLDER             # 24 cases of the shipped generator, 2 processes, kills
    python benchmarks/cluster.py overlap --work FOLDER          # what judging and writing beside the generator gains

Each process is a whole `synthaug precompute`, and takes itself for one on a machine of its own: whether another one
lives is then told by its claims alone. `chaos` kills one of them every few seconds (another one starts in its place),
stops one for a minute, longer than its claim lasts, and starts two with the same share; the clocks of most machines are
hours or a day wrong. Afterwards: is every case there once, does the cache verify, are all digests those
of a process that worked alone and undisturbed? Exit code 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from benchmarks.simulated_cluster import SCHEDULE, SECONDS, Chaos, Cluster, Sleeping
from synthaug.conditions import Condition
from synthaug.precomputing import precompute
from synthaug.schedules import parse_schedule
from synthaug.store import Store, StoreInfo
from synthaug.volumes import LabeledVolume
from tests.stand_in_generator import StandInGenerator

SLEEPING = ["--generator", "python:benchmarks.simulated_cluster:make"]
REAL = ["--generator", "ventricles-t1-1mm"]


# ---------------------------------------------------------------------- what came of it


def digests(cache: Path) -> dict[str, str]:
    """Digests of the arrays of each case, by name."""
    store = Store.open(cache)
    return {name: json.dumps(store.provenance(name)["files"], sort_keys=True) for name in store.names()}


def stored_at(cache: Path) -> dict[str, list[float]]:
    """When each process stored a case: seconds, sorted; all by the clock of this machine."""
    made = {
        process: sorted(
            datetime.fromisoformat(event["at"]).timestamp() for event in events if event["event"] == "stored"
        )
        for process, events in Store.open(cache).events.read_by_process().items()
    }
    return {process: times for process, times in made.items() if times}


def steady_rate(cache: Path) -> float:
    """Cases per second while all processes are at work: from the last one's third case to the first one's last.

    The first cases wait for libraries that are loaded when the first one is written.
    """
    times = stored_at(cache).values()
    begin, end = max(one[2] for one in times), min(one[-1] for one in times)
    return sum(begin < moment <= end for one in times for moment in one) / (end - begin)


def judge(cache: Path, num: int, reference: dict[str, str]) -> list[str]:
    """What is wrong with a cache, beside the digests that a process alone has made."""
    store, found = Store.open(cache), digests(cache)
    wrong = [str(problem) for problem in store.verify()]
    wrong += [] if len(found) == num else [f"{len(found)} cases instead of {num}"]
    compared = set(found) & set(reference)
    wrong += [] if compared else ["no case is to be compared"]
    wrong += [f"{name} has other digests" for name in compared if found[name] != reference[name]]
    stored = Counter(event["name"] for event in store.events.read() if event["event"] == "stored")
    wrong += [f"{name} was stored {count} times" for name, count in stored.items() if count != 1]
    # a kill between the rename of a case and its event leaves it without one
    wrong += [f"{store.claims().names()} are still claimed"] if store.claims().names() else []
    return wrong


def alone(work_folder: Path, num: int, generator: Sequence[str]) -> dict[str, str]:
    """The digests that one undisturbed process makes; kept in the folder of the work."""
    cache = work_folder / f"alone-{generator[1].rpartition(':')[0] or generator[1]}-{num}"
    cluster = Cluster(cache, num, generator, work_folder / "logs" / cache.name)
    cluster.start(0, 1)
    cluster.running[0].wait()
    if wrong := cluster.ended():
        raise RuntimeError(f"{wrong}; see {cluster.logs}")
    return digests(cache)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


# ---------------------------------------------------------------------- commands


def speed(options: argparse.Namespace) -> list[str]:
    """Steady throughput by the number of processes, and what a case costs beside its generation."""
    wrong: list[str] = []
    largest = max(options.processes) * options.cases_each
    reference = alone(options.work, largest, SLEEPING)
    rates = {}
    for count in options.processes:
        num = count * options.cases_each
        cluster = Cluster(
            _fresh(options.work / f"speed-{count}"), num, SLEEPING, options.work / "logs" / f"speed-{count}"
        )
        cluster.seconds = options.seconds
        began = time.monotonic()
        for slot in range(count):
            cluster.start(slot, count)
        for process in tuple(cluster.running.values()):
            process.wait()
        seconds = time.monotonic() - began
        wrong += cluster.ended() + judge(cluster.cache, num, reference)
        rates[count] = steady_rate(cluster.cache)
        ratio = rates[count] / rates[options.processes[0]]
        print(
            f"{count} process(es), {num} cases: {rates[count]:.3f} cases/s in the steady state, {ratio:.2f} times that "
            f"of {options.processes[0]}; {seconds:.0f} s with start and end",
            flush=True,
        )
    wrong += overhead(options)
    return wrong


def overhead(options: argparse.Namespace) -> list[str]:
    """What a case costs beside its generation, in one process."""
    generator, schedule = Sleeping(), parse_schedule(SCHEDULE)
    warm = Store.create(_fresh(options.work / "overhead-warm"), StoreInfo.of(generator))
    precompute(generator, warm, num=3, schedule=schedule)
    os.environ[SECONDS], generator.busy_s = str(options.seconds), 0.0
    store = Store.create(_fresh(options.work / "overhead"), StoreInfo.of(generator))
    cases = min(30, options.cases_each)
    sleeping_cpu, cpu = _cpu_of_generating(cases), time.process_time()
    summary = precompute(generator, store, num=cases, schedule=schedule)
    beside = (summary.seconds - generator.busy_s) / cases
    cpu = (time.process_time() - cpu - sleeping_cpu) / cases
    print(
        f"{cases} cases of {options.seconds:g} s: {1000 * beside:.1f} ms a case beside the generation "
        f"({beside / options.seconds:.2%}), {1000 * cpu:.1f} ms of processor time for quality control and the store",
        flush=True,
    )
    return []


def _cpu_of_generating(cases: int) -> float:
    generator, before = StandInGenerator(), time.process_time()
    for number in range(cases):
        generator.generate([Condition({"ventricles": 20.0 + number})], [number])
    return time.process_time() - before


def chaos(options: argparse.Namespace) -> list[str]:
    """Many sleeping cases while everything goes wrong."""
    reference = alone(options.work, options.cases, SLEEPING)
    wrong = []
    for count in options.processes:
        cluster = Cluster(
            _fresh(options.work / f"chaos-{count}"),
            options.cases,
            SLEEPING,
            _fresh(options.work / f"logs/chaos-{count}"),
        )
        cluster.seconds, cluster.expiry_s = options.seconds, options.expiry
        wrong += _trouble(cluster, count, options, reference, stop_s=options.stop)
    return wrong


def real(options: argparse.Namespace) -> list[str]:
    """The shipped generator, with kills."""
    reference = alone(options.work, options.alone, REAL)
    cluster = Cluster(_fresh(options.work / "real"), options.cases, REAL, _fresh(options.work / "logs/real"))
    cluster.expiry_s = options.expiry
    return _trouble(cluster, options.processes[0], options, reference, stop_s=options.stop)


def _trouble(
    cluster: Cluster, count: int, options: argparse.Namespace, reference: dict[str, str], *, stop_s: float
) -> list[str]:
    trouble = Chaos(cluster, count, options.kill_every, stop_s, options.most_kills, random.Random(options.seed))
    began = time.monotonic()
    wrong = trouble.run()
    seconds = time.monotonic() - began
    wrong += judge(cluster.cache, cluster.num, reference)
    made = f", {len(cluster.made.read_text().splitlines())} generated" if cluster.made.exists() else ""
    told = ", ".join(f"{what} {number}" for what, number in trouble.events.items())
    print(
        f"{count} process(es) at a time, {cluster.started} in all ({told}): {len(Store.open(cluster.cache))} of "
        f"{cluster.num} cases{made}, {seconds:.0f} s: {'; '.join(wrong[:5]) or 'each once, sound, digests identical'}",
        flush=True,
    )
    return wrong


class OnAccelerator(StandInGenerator):
    """Pairs of 160 x 192 x 160 voxels from a device that leaves the processor free: the same one, after a sleep."""

    def __init__(self, seconds: float) -> None:
        super().__init__((160, 192, 160), 1.0)
        self._seconds = seconds
        self._kept: LabeledVolume | None = None

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        if self._kept is None:
            self._kept = super().generate(conditions[:1], seeds[:1])[0]
        time.sleep(self._seconds * len(seeds))
        return [replace(self._kept, provenance={**self._kept.provenance, "seed": seed}) for seed in seeds]


def overlap(options: argparse.Namespace) -> list[str]:
    """Judging and writing beside the generator, and between two cases."""
    generator, schedule = OnAccelerator(options.seconds), parse_schedule("constant:40")
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * options.repeats + 1):
        beside = number % 2 == 0
        store = Store.create(_fresh(options.work / "overlap"), StoreInfo.of(generator))
        summary = precompute(generator, store, num=options.cases, schedule=schedule, overlap=beside)
        if number > 0:  # the first one loads libraries and makes the pair
            seconds[beside].append(summary.seconds / options.cases)
        shutil.rmtree(store.folder)
    best = {beside: min(found) for beside, found in seconds.items()}
    print(
        f"{options.cases} cases of {options.seconds:g} s, the fastest of {options.repeats} runs: {best[True]:.2f} s a "
        f"case beside the generator, {best[False]:.2f} s between two cases"
    )
    return []


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = {"speed": speed, "chaos": chaos, "real": real, "overlap": overlap}
    defaults = {"speed": [1, 2, 4, 8], "chaos": [8], "real": [2], "overlap": [1]}
    parser.add_argument("command", choices=commands)
    parser.add_argument("--work", type=Path, default=Path("cluster"), help="folder of caches and logs")
    parser.add_argument("--processes", type=int, nargs="+", help="numbers of processes")
    parser.add_argument("--cases", type=int, help="in all; default: 1000, of the shipped generator 24, for overlap 10")
    parser.add_argument("--cases-each", type=int, default=40, help="for speed: cases for each process")
    parser.add_argument("--alone", type=int, default=4, help="for real: cases that an undisturbed process makes")
    parser.add_argument("--seconds", type=float, default=1.0, help="that a case sleeps")
    parser.add_argument("--expiry", type=float, help="seconds after which silent claims are void; default: 15, real 40")
    parser.add_argument("--kill-every", type=float, help="mean seconds between two kills; default: 5, real 45")
    parser.add_argument("--most-kills", type=int, default=1000, help="after which nobody is killed any more")
    parser.add_argument("--stop", type=float, default=60.0, help="seconds for which one process is stopped")
    parser.add_argument("--repeats", type=int, default=3, help="for overlap")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    is_real = options.command == "real"
    options.processes = options.processes or defaults[options.command]
    options.cases = options.cases or {"real": 24, "overlap": 10}.get(options.command, 1000)
    options.expiry = options.expiry or (40.0 if is_real else 15.0)
    options.kill_every = options.kill_every or (45.0 if is_real else 5.0)
    options.work.mkdir(parents=True, exist_ok=True)
    wrong = commands[options.command](options)
    for line in wrong:
        print(line)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
