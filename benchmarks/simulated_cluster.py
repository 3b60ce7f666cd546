"""A cluster on one machine: whole processes that take themselves for machines of their own, and what befalls them."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from synthaug.conditions import Condition
from synthaug.volumes import LabeledVolume
from tests.stand_in_generator import StandInGenerator

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS = "SYNTHAUG_CLUSTER_SECONDS"
"""Variable: seconds that each case sleeps. No option of the generator, since options belong to the cases' names."""
MADE = "SYNTHAUG_CLUSTER_MADE"
"""Variable: file that gets a line for each case that was generated, kept or not."""
SCHEDULE = "uniform:20:120"
SKEWS_S = (0.0, -86400.0, -3600.0, 3600.0, 86400.0)
"""By which the clock of a machine is wrong where it stamps its claims."""


class Sleeping(StandInGenerator):
    """Sleeps, then makes a small pair."""

    busy_s = 0.0
    """Seconds that all calls took."""

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        began = time.perf_counter()
        time.sleep(float(os.environ.get(SECONDS, "0")) * len(seeds))
        pairs = super().generate(conditions, seeds)
        self.busy_s += time.perf_counter() - began
        if MADE in os.environ:
            with open(os.environ[MADE], "a") as file:
                file.write("".join(f"{seed}\n" for seed in seeds))
        return pairs


def make(device: str = "cpu", **options: Any) -> Sleeping:
    """Factory for the command line."""
    return Sleeping(**options)


def machine_of(node: str) -> str:
    """The machine that a node's processes take themselves for, as it stands in claims and events."""
    return hashlib.sha256(node.encode()).hexdigest()[:12]


def work(node: str, arguments: Sequence[str]) -> int:
    """``synthaug`` on a machine that has another name, and whose clock may be wrong."""
    from synthaug.cli.app import run
    from synthaug.files import process_identity
    from synthaug.store import claims

    machine = machine_of(node)
    skew_s = SKEWS_S[int(machine, 16) % len(SKEWS_S)]

    def touch(path: Path) -> None:
        wrong = time.time() + skew_s
        os.utime(path, (wrong, wrong))

    elsewhere = mock.patch.object(process_identity, "_machine", return_value=machine)
    with elsewhere, mock.patch.object(claims, "_touch", touch):
        return int(run(list(arguments)))


@dataclass
class Cluster:
    """Processes that fill one cache.

    Attributes:
        cache: the cache.
        num: of cases.
        generator: options that name the generator.
        logs: folder of what they print.
        seconds: that a case sleeps.
        expiry_s: of claims.
    """

    cache: Path
    num: int
    generator: Sequence[str]
    logs: Path
    seconds: float = 0.0
    expiry_s: float = 15.0
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    nodes: dict[int, str] = field(default_factory=dict)
    started: int = 0

    @property
    def made(self) -> Path:
        """File with a line for each case that was generated."""
        return self.logs / "made"

    def start(self, slot: int, count: int, share: int | None = None) -> None:
        """Start the process of a slot.

        Args:
            slot: its number here.
            count: of all.
            share: number of its share; None: that of its slot.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self.started += 1
        self.nodes[slot] = f"node{slot}-{self.started}"
        arguments = ["precompute", *self.generator, "--num", str(self.num), "--schedule", SCHEDULE, "--seed", "0"]
        arguments += ["--out", str(self.cache), "--device", "cpu", "--claim-expiry", str(self.expiry_s)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "SLURM_ARRAY_TASK_ID": str(slot if share is None else share),
            "SLURM_ARRAY_TASK_COUNT": str(count),
            "SLURM_ARRAY_TASK_MIN": "0",
            "OMP_NUM_THREADS": "1",
            SECONDS: str(self.seconds),
            MADE: str(self.made),
        }
        with open(self.logs / f"{self.started:03d}-slot{slot}.log", "wb") as log:
            self.running[slot] = subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), self.nodes[slot], *arguments],
                env=environment,
                stdout=log,
                stderr=log,
            )

    def has_begun(self, slot: int) -> bool:
        """Whether a slot's process has come to its work: to kill those that load libraries tries nothing."""
        return any((self.cache / "events").glob(f"{machine_of(self.nodes[slot])}-*"))

    def ended(self) -> list[str]:
        """What is wrong with those that have ended; they are taken out."""
        wrong = []
        for slot, process in tuple(self.running.items()):
            if process.poll() is not None:
                del self.running[slot]
                wrong += [f"process {process.pid} ended with {process.returncode}"] if process.returncode else []
        return wrong

    def end(self) -> None:
        """Leave nothing running."""
        for process in self.running.values():
            process.kill()
            process.wait()


@dataclass
class Chaos:
    """What goes wrong, and when.

    Attributes:
        cluster: whose processes.
        count: of processes.
        kill_every_s: mean seconds between two kills.
        stop_s: seconds for which one process is stopped; 0: none.
        most_kills: after which nobody is killed any more.
        rng: of the moments.
    """

    cluster: Cluster
    count: int
    kill_every_s: float
    stop_s: float
    most_kills: int
    rng: random.Random
    events: Counter[str] = field(default_factory=Counter)

    def run(self) -> list[str]:
        """Until all processes have ended by themselves; returns what is wrong."""
        cluster, wrong = self.cluster, []
        for slot in range(self.count):
            cluster.start(slot, self.count, share=0 if slot == 1 else None)  # two begin with the same work
        next_kill = time.monotonic() + 2 * self.kill_every_s
        stop_at = time.monotonic() + 3 * self.kill_every_s if self.stop_s else float("inf")
        stopped: tuple[subprocess.Popen[bytes], float] | None = None
        try:
            while cluster.running:
                time.sleep(0.2)
                wrong += cluster.ended()
                now = time.monotonic()
                if stopped is None and now > stop_at and len(cluster.running) == self.count:
                    stopped, stop_at = (cluster.running[self.count - 1], now + self.stop_s), float("inf")
                    stopped[0].send_signal(signal.SIGSTOP)
                    self.events["stopped"] += 1
                if stopped is not None and now > stopped[1]:
                    stopped[0].send_signal(signal.SIGCONT)
                    stopped = None
                if now > next_kill:
                    next_kill = now + self.rng.uniform(0.5, 1.5) * self.kill_every_s
                    self._kill(None if stopped is None else stopped[0])
        finally:
            cluster.end()
        return wrong

    def _kill(self, spared: subprocess.Popen[bytes] | None) -> None:
        cluster = self.cluster
        slots = [slot for slot, one in cluster.running.items() if one is not spared and cluster.has_begun(slot)]
        if len(cluster.running) < self.count or not slots or self.events["killed"] >= self.most_kills:
            return  # at the end nobody is started any more
        slot = self.rng.choice(slots)
        self.cluster.running[slot].kill()
        self.cluster.running[slot].wait()
        self.events["killed"] += 1
        self.cluster.start(slot, self.count)


if __name__ == "__main__":
    sys.exit(work(sys.argv[1], sys.argv[2:]))
