"""Trainings on pairs made meanwhile, while everything goes wrong that can: does each one finish, with whole cases only?

    python benchmarks/live_chaos.py --runs 50

Every run is a training of some seconds, a loader with two workers on a live source with a stand-in generator, in a
process of its own. At a random moment its generating process is killed, or stopped, or files of its pool are truncated,
or its disk is full, or the training itself is killed or interrupted. Afterwards: did the training finish (where it was
left alive), was every case whole that it got, and is any process or pool left? Exit code 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from synthaug.live.pool_folder import PREFIX

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS = float(os.environ.get("SYNTHAUG_CHAOS_SECONDS", "12"))
FULL_DISK = "SYNTHAUG_CHAOS_FULL_DISK"
"""Variable that names a file; once it is there, the generating process can write no more."""

END_S = 5.0
"""Within which a generating process has to end after its training was killed."""


# ---------------------------------------------------------------------- the training


def train(result: Path) -> None:
    """A training: says where its generator and pool are, then draws until its time is over."""
    import torch
    from torch.utils.data import DataLoader

    from synthaug import LiveOptions, LiveSource, SynthAugment
    from synthaug.live import supervisor

    supervisor.FIRST_BACK_OFF_S = 0.2
    options = LiveOptions(capacity=12, first=6, niceness=0, most_uses=8, most_restarts=2, longest_silence_s=2.0)
    source = LiveSource("python:tests.live.faulty_generators:on_a_disk_that_fills", "uniform:20:60", options=options)
    real = [{"image": torch.zeros(1, 32, 32, 32), "label": torch.zeros(1, 32, 32, 32)} for _ in range(16)]
    with SynthAugment(real, source, ratio=1.0, epochs=1000) as data:
        loader = DataLoader(data, batch_size=4, num_workers=2, persistent_workers=True)
        while source.supervisor.process_id is None:  # on a busy machine the first one may have been slow to begin
            time.sleep(0.05)
        result.with_suffix(".begun").write_text(f"{source.supervisor.process_id} {source.folder}")
        synthetic = wrong = items = epoch = 0
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            data.set_epoch(epoch)
            for batch in loader:
                made = batch["synthaug"]["synthetic"]
                items, synthetic = items + len(made), synthetic + int(made.sum())
                wrong += sum(not _is_whole(batch, index) for index in range(len(made)) if made[index])
            epoch += 1
        facts = {"items": items, "synthetic": synthetic, "wrong": wrong, "fallbacks": data.place.fallbacks}
        facts |= {"restarts": source.supervisor.restarts, "frozen": source.state.frozen}
    result.write_text(json.dumps(facts))


def _is_whole(batch: dict[str, Any], index: int) -> bool:
    """Whether a case has the volume that its record tells."""
    from tests.stand_in_generator import StandInGenerator

    made = StandInGenerator()
    inside = np.isin(batch["label"][index, 0].numpy(), made.scheme.resolve("ventricles"))
    volume_ml = inside.sum() * abs(np.linalg.det(made.affine[:3, :3])) / 1000
    return bool(abs(volume_ml - float(batch["synthaug"]["volume_ml"][index])) < 1e-3)


# ---------------------------------------------------------------------- what goes wrong


@dataclass(frozen=True)
class Victim:
    """A training that runs.

    Attributes:
        training: its process.
        generating: process number of its first generating process.
        pool: folder of its pool.
        full_disk: file that makes its disk full.
    """

    training: subprocess.Popen[bytes]
    generating: int
    pool: Path
    full_disk: Path


def kill_generator(victim: Victim, rng: random.Random) -> None:
    """The generating process is killed, and the one in its place too."""
    os.kill(victim.generating, signal.SIGKILL)
    time.sleep(2.5)
    for process in _generating(victim.training.pid):
        process.kill()


def stop_generator(victim: Victim, rng: random.Random) -> None:
    """The generating process stands still."""
    os.kill(victim.generating, signal.SIGSTOP)


def truncate_files(victim: Victim, rng: random.Random) -> None:
    """Some files of the pool lose their end, again and again."""
    for _ in range(6):
        files = [path for path in (victim.pool / "cases").rglob("*") if path.is_file()]
        for path in rng.sample(files, min(4, len(files))):
            try:
                os.truncate(path, int(path.stat().st_size * rng.random()))
            except FileNotFoundError:
                continue  # it left the pool
        time.sleep(0.4)


def fill_disk(victim: Victim, rng: random.Random) -> None:
    """Nothing can be written any more."""
    victim.full_disk.touch()


def kill_training(victim: Victim, rng: random.Random) -> None:
    """The training is killed, with its workers, as a scheduler does it."""
    workers = [one for one in psutil.Process(victim.training.pid).children() if one.pid != victim.generating]
    victim.training.kill()
    for one in workers:
        if not _is_generating(one):
            one.kill()


def interrupt_training(victim: Victim, rng: random.Random) -> None:
    """Ctrl-C, which reaches the training, its workers and the generating process alike."""
    os.killpg(victim.training.pid, signal.SIGINT)


KINDS: dict[str, Callable[[Victim, random.Random], None]] = {
    "generator killed": kill_generator,
    "generator stopped": stop_generator,
    "files truncated": truncate_files,
    "disk full": fill_disk,
    "training killed": kill_training,
    "training interrupted": interrupt_training,
}


def run_once(kind: str, seed: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """One training to which one thing happens.

    Returns:
        What it told at its end, and everything that is wrong.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    result, full_disk = folder / "result.json", folder / "disk-is-full"
    search_path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, FULL_DISK: str(full_disk), "PYTHONPATH": search_path, "OMP_NUM_THREADS": "1"}
    with open(folder / "log", "wb") as log:
        training = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--train", str(result)],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        victim = _begun(training, result, full_disk)
        time.sleep(rng.uniform(0, 2))
        KINDS[kind](victim, rng)
        killed = kind.startswith("training")
        training.wait(timeout=END_S if kind == "training killed" else 120)
        wrong = [] if killed or training.returncode == 0 else [f"the training ended with {training.returncode}"]
        wrong += _left_over(victim)
    finally:
        training.kill()
        training.wait()
    facts = json.loads(result.read_text()) if result.exists() else {}
    if not killed:
        wrong += [f"{facts.get('wrong')} cases were not whole"] if facts.get("wrong") != 0 else []
        wrong += [] if facts.get("synthetic", 0) > 0 else ["no synthetic case was drawn"]
        noticed = facts.get("restarts", 0) > 0 or facts.get("frozen", False)
        wrong += [] if noticed or kind == "files truncated" else ["nobody noticed"]
    return facts, wrong


def _begun(training: subprocess.Popen[bytes], result: Path, full_disk: Path) -> Victim:
    """Wait until the training draws."""
    deadline = time.monotonic() + 120
    begun = result.with_suffix(".begun")
    while not begun.exists() or not begun.read_text():
        if time.monotonic() > deadline or training.poll() is not None:
            raise RuntimeError(f"the training did not begin; see {result.parent / 'log'}")
        time.sleep(0.05)
    number, pool = begun.read_text().split()
    return Victim(training, int(number), Path(pool), full_disk)


def _left_over(victim: Victim) -> list[str]:
    """Processes and pools that are still there some seconds later."""
    deadline = time.monotonic() + END_S
    while True:
        found = [f"process {one.pid} is left" for one in psutil.process_iter() if _belongs_to(one, victim)]
        pools = {victim.pool, *_pools_of(victim.training.pid)}
        found += [f"{pool} is left" for pool in sorted(pools) if pool.exists()]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _belongs_to(process: psutil.Process, victim: Victim) -> bool:
    try:
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return not is_zombie and process.environ().get(FULL_DISK) == str(victim.full_disk)
    except psutil.Error:
        return False


def _generating(training: int) -> list[psutil.Process]:
    try:
        return [one for one in psutil.Process(training).children() if _is_generating(one)]
    except psutil.Error:
        return []


def _is_generating(process: psutil.Process) -> bool:
    try:
        return any("spawn_main" in word for word in process.cmdline())
    except psutil.Error:
        return False


def _pools_of(training: int) -> list[Path]:
    """Other trainings of the machine have pools of their own."""
    return [path for parent in ("/dev/shm", "/tmp") for path in Path(parent).glob(f"{PREFIX}*-{training}-*")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="trainings; each kind of trouble in turn")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--work", type=Path, default=Path("live-chaos"), help="folder of logs")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.train is not None:
        train(options.train)
        return 0
    failed = 0
    for number in range(options.runs):
        kind = list(KINDS)[number % len(KINDS)]
        facts, wrong = run_once(kind, options.seed + number, options.work / f"{options.seed + number:03d}")
        failed += bool(wrong)
        told = ", ".join(f"{key} {value}" for key, value in facts.items()) or "ended"
        print(f"{number + 1} of {options.runs}, {kind}: {'; '.join(wrong) or 'fine'} ({told})", flush=True)
    print(f"{options.runs - failed} of {options.runs} fine")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
