"""The process that fills a pool while a training runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.conditions import Condition
from synthaug.errors import StoreError
from synthaug.generators.protocol import PairGenerator
from synthaug.live.options import LiveOptions
from synthaug.live.pool import PooledCase, PoolWriter
from synthaug.live.shared_pool_state import SharedPoolState
from synthaug.live.volume_bins import VolumeBins
from synthaug.quality import QualityConfig, generate_checked
from synthaug.schedules import VolumeSchedule
from synthaug.shared_progress import SharedProgress
from synthaug.store import Store, StoreInfo, case_name

PARENT_CHECK_S = 1.0
REST_STEP_S = 0.2


@dataclass(frozen=True)
class LiveTask:
    """All that the generating process needs; it is pickled.

    Attributes:
        generator: name or folder for ``load_named_generator``.
        generator_options: sampler settings and the like.
        device: of the generator.
        folder: of the pool.
        schedule: of volumes in mL.
        quality: limits.
        options: of the pool and the process.
        epochs: length of the training; None where progress is told.
        seed: of the draws.
    """

    generator: str
    generator_options: dict[str, Any]
    device: str
    folder: Path
    schedule: VolumeSchedule
    quality: QualityConfig
    options: LiveOptions
    epochs: int | None
    seed: int


def generate_forever(
    task: LiveTask, state: SharedPoolState, place: SharedProgress, stop: Event, parent: int, start: int
) -> None:
    """Body of the process: generate, rest, and look whether anybody still wants it.

    Args:
        task: what to make.
        state: shared with the training.
        place: where the training stands.
        stop: set when the process is to end.
        parent: process id of the training: when it is gone, this process ends too.
        start: how often the process was started before: no seed is used twice.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(task.options.threads)
    os.nice(task.options.niceness)
    import torch

    torch.set_num_threads(task.options.threads)
    from synthaug.precomputing import load_named_generator

    state.beat()
    generator = load_named_generator(task.generator, device=task.device, **task.generator_options)
    writer = PoolWriter(Store.open_or_create(task.folder, StoreInfo.of(generator)), task.options.capacity)
    low_ml, high_ml = generator.bounds.limits_ml[task.schedule.structure]
    work = LiveWork(task, generator, writer, state, place, VolumeBins(low_ml, high_ml))
    rng = np.random.default_rng([task.seed, start])
    while not stop.is_set():
        state.beat()
        started = time.monotonic()
        if not work.make_one(rng):
            stop.wait(REST_STEP_S)
            continue
        rest = (time.monotonic() - started) * (1 / task.options.duty - 1)
        until = time.monotonic() + rest
        while time.monotonic() < until and not stop.wait(min(REST_STEP_S, max(0.0, until - time.monotonic()))):
            state.beat()


@dataclass
class LiveWork:
    """One request after the other.

    Attributes:
        task: what to make.
        generator: makes it.
        writer: of the pool.
        state: shared with the training.
        place: where the training stands.
        bins: of volumes.
    """

    task: LiveTask
    generator: PairGenerator
    writer: PoolWriter
    state: SharedPoolState
    place: SharedProgress
    bins: VolumeBins

    def make_one(self, rng: np.random.Generator) -> bool:
        """Make what the pool lacks most; False where there is nothing to make.

        Raises:
            StoreError: the disk refuses.
        """
        task, uses = self.task, self.state.uses()
        cases = self.writer.cases
        fresh = [one.volume_ml for one in cases if uses[one.slot] < task.options.most_uses]
        if len(fresh) >= task.options.capacity and not self._moved(cases):
            return False
        banned = np.array(self.state.banned())
        target = self.bins.next_target(task.schedule, self.progress, task.options.look_ahead, fresh, banned, rng)
        if target is None:
            return False
        number, volume_ml = target
        self.state.bin_in_work = number
        started = time.monotonic()
        condition, seed = Condition({task.schedule.structure: volume_ml}), int(rng.integers(1 << 53))
        made = generate_checked(self.generator, condition, seed, task.quality)
        if made.pair is not None:
            name = case_name(self.generator.fingerprint, task.quality.digest(), condition, seed)
            realised_ml = made.pair.volumes_ml()[task.schedule.structure]
            leave = self._least_needed(cases, uses) if len(cases) >= task.options.capacity else None
            added = self.writer.add(name, made.pair, made.report, realised_ml, epoch=self.place.epoch, leave=leave)
            self.state.forget_uses(added.slot)
        self.state.count_made(time.monotonic() - started, inserted=made.pair is not None)
        self.state.bin_in_work = -1
        return True

    @property
    def progress(self) -> float:
        """Where the schedule stands."""
        told = self.place.progress
        if told is not None:
            return told
        return min(1.0, (self.place.epoch + 0.5) / self.task.epochs) if self.task.epochs else 0.0

    def _moved(self, cases: Sequence[PooledCase]) -> bool:
        """Whether the schedule asks for volumes of which a full pool has too few."""
        held = np.bincount([self.bins.find(one.volume_ml) for one in cases], minlength=len(self.bins)).astype(float)
        wanted = self.bins.wanted(self.task.schedule, self.progress, self.task.options.look_ahead)
        return bool((self.bins.lacking(held, wanted) >= 1.0).any())

    def _least_needed(self, cases: Sequence[PooledCase], uses: Sequence[int]) -> str:
        """The case of the bin with most cases too many; among those the one most drawn, then the oldest."""
        held = np.bincount([self.bins.find(one.volume_ml) for one in cases], minlength=len(self.bins)).astype(float)
        wanted = self.bins.wanted(self.task.schedule, self.progress, self.task.options.look_ahead)
        surplus = held - wanted * held.sum()

        def need(one: PooledCase) -> tuple[bool, float, int, int]:
            worn = uses[one.slot] >= self.task.options.most_uses
            return (not worn, -surplus[self.bins.find(one.volume_ml)], -uses[one.slot], one.number)

        return min(cases, key=need).name


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, whatever it is doing."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)


def is_disk_error(error: BaseException) -> bool:
    """Whether the disk, not the generator, is to blame."""
    return isinstance(error, StoreError | OSError)
