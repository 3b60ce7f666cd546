"""The process that fills a pool while a training runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.conditions import Condition
from synthaug.errors import StoreError
from synthaug.generators.protocol import PairGenerator
from synthaug.live.options import LiveOptions
from synthaug.live.pacer import Pacer
from synthaug.live.pool import PooledCase, PoolWriter, sole_writer
from synthaug.live.shared_pool_state import SharedPoolState
from synthaug.live.training_form import TrainingForm
from synthaug.live.volume_bins import VolumeBins
from synthaug.mixing.shared_progress import SharedProgress
from synthaug.precomputing.requests import SEED_BITS, configuration_digest
from synthaug.quality import QualityConfig, generate_checked
from synthaug.schedules import VolumeSchedule, progress_of_epoch
from synthaug.sources.streams import Stream, stream
from synthaug.store import Store, case_name

PARENT_CHECK_S = 1.0
IDLE_S = 0.2
FROM_CACHE = -1
"""Epoch in which cases were made that were there before the training."""

ERROR_NAME = "pool.error"
"""File in the pool: what ended the process last."""


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
        limits_ml: bounds of the scheduled structure.
        epochs: length of the training; None where progress is told.
        seed: of the draws.
        form: what the pool keeps of a case beside the pair.
        cache: a store of the same generator whose cases fill the pool at the start.
        remove_folder: whether the pool goes when the training does.
    """

    generator: str
    generator_options: dict[str, Any]
    device: str
    folder: Path
    schedule: VolumeSchedule
    quality: QualityConfig
    options: LiveOptions
    limits_ml: tuple[float, float]
    epochs: int | None
    seed: int
    form: TrainingForm | None = None
    cache: Path | None = None
    remove_folder: bool = False

    def progress(self, place: SharedProgress) -> float:
        """Where the schedule stands, 0 to 1."""
        told = place.progress
        if told is not None:
            return told
        return progress_of_epoch(place.epoch, self.epochs) if self.epochs else 0.0

    def open_pool(self) -> PoolWriter:
        """The pool, to write to it."""
        most_bytes = None if self.options.capacity_gb is None else self.options.capacity_gb * 1e9
        return PoolWriter(Store.open(self.folder), self.options.capacity, most_bytes=most_bytes, form=self.form)


def run_generator(task: LiveTask, state: SharedPoolState, place: SharedProgress, parent: int, start: int) -> None:
    """Body of the process: look after its place among others, then generate; what ends it is left for the training.

    Args:
        task: what to make.
        state: shared with the training.
        place: where the training stands.
        parent: process id of the training: when it is gone, this process ends too.
        start: how often the process was started before: with the epoch, it keeps seeds from being used twice, by this
            process or that of a training that goes on.
    """
    os.nice(task.options.niceness)  # before there is any thread that would keep the old one
    leaves_behind = task.folder if task.remove_folder else None
    threading.Thread(target=_end_with, args=(parent, leaves_behind), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the training decides, and ends this
    import torch

    torch.set_num_threads(task.options.threads)
    try:
        with sole_writer(task.folder):
            _generate(task, state, place, stream(Stream.LIVE, task.seed, place.epoch, start))
    except Exception as error:
        with contextlib.suppress(OSError):  # the disk may be what is wrong
            (task.folder / ERROR_NAME).write_text(f"{type(error).__name__}: {error}")
        raise


def _generate(task: LiveTask, state: SharedPoolState, place: SharedProgress, rng: np.random.Generator) -> None:
    """Generate and rest, until nobody wants more."""
    from torch.nn.modules.module import register_module_forward_hook

    from synthaug.precomputing import load_named_generator

    if task.cache is not None:
        fill_from_cache(task, state, place, rng)
    generator = load_named_generator(task.generator, device=task.device, **task.generator_options)
    work = LiveWork(task, generator, task.open_pool(), state, place, VolumeBins(*task.limits_ml))
    for one in work.writer.cases:  # of a training before this one
        state.keep_slot(one.slot, one.number)
    state.beat()
    state.ready = True
    pacer = Pacer(task.options.duty, state)
    register_module_forward_hook(lambda *evaluation: pacer.rest())  # between the network evaluations of a pair
    while not state.ending:
        state.beat()
        if work.make_one(rng):
            pacer.rest()
        else:
            pacer.idle(IDLE_S)


def fill_from_cache(task: LiveTask, state: SharedPoolState, place: SharedProgress, rng: np.random.Generator) -> None:
    """Put cases of a cache into an empty pool, as the schedule wants them, until it is full or the cache is used up.

    A process that takes the place of another one goes on where that stopped.
    """
    assert task.cache is not None
    cache = Store.open(task.cache)
    structure = task.schedule.structure
    writer = task.open_pool()
    bins = VolumeBins(*task.limits_ml)
    if state.inserted:
        return
    held_already = {one.name for one in writer.cases}
    unused = {entry.name: entry.realised_ml[structure] for entry in cache.entries() if entry.name not in held_already}
    progress = task.progress(place)
    while unused and len(writer.cases) < writer.capacity:
        state.beat()
        held = [one.volume_ml for one in writer.cases]
        wanted = bins.wanted(task.schedule, progress, task.options.look_ahead)
        _, wanted_ml = bins.next_target(task.schedule, progress, task.options.look_ahead, held, wanted, rng)
        name = min(unused, key=lambda one: abs(unused[one] - wanted_ml))
        volume_ml = unused.pop(name)
        try:
            pair = cache.read(name)
        except StoreError:
            continue  # damaged: the others will do
        writer.add(name, pair, None, volume_ml, epoch=FROM_CACHE, leave=None, before=_slot_of(state))


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

    def __post_init__(self) -> None:
        self._failures: Counter[int] = Counter()
        self._configuration = configuration_digest(self.task.generator_options, self.task.quality)

    def make_one(self, rng: np.random.Generator) -> bool:
        """Make what the pool lacks most; False where there is nothing to make.

        Raises:
            StoreError: the disk refuses.
        """
        task, uses, wanted = self.task, self.state.uses(), self._wanted()
        cases = self.writer.cases
        fresh = [one.volume_ml for one in cases if uses[one.slot] < task.options.most_uses]
        if wanted is None or (len(fresh) >= self.writer.capacity and not self._moved(cases, wanted)):
            return False
        number, volume_ml = self.bins.next_target(
            task.schedule, task.progress(self.place), task.options.look_ahead, fresh, wanted, rng
        )
        self.state.bin_in_work = number
        condition, seed = Condition({task.schedule.structure: volume_ml}), int(rng.integers(1 << SEED_BITS))
        made = generate_checked(self.generator, condition, seed, task.quality)
        self.writer.rejects.update(made.rejects)
        if made.pair is not None:
            name = case_name(self.generator.fingerprint, self._configuration, condition, seed)
            realised_ml = made.pair.volumes_ml()[task.schedule.structure]
            full = len(cases) >= self.writer.capacity
            leave = self._least_needed(cases, wanted) if full else None
            epoch = self.place.epoch
            self.writer.add(
                name, made.pair, made.report, realised_ml, epoch=epoch, leave=leave, before=_slot_of(self.state)
            )
        self._note(number, passed=made.pair is not None)
        self.state.count_made(inserted=made.pair is not None)
        self.state.bin_in_work = -1
        return True

    def _wanted(self) -> np.ndarray | None:
        """Share of each bin that the pool should have; None where all that the schedule asks for is banned."""
        wanted = self.bins.wanted(self.task.schedule, self.task.progress(self.place), self.task.options.look_ahead)
        wanted = np.where(self.state.banned(), 0.0, wanted)
        return wanted / wanted.sum() if wanted.sum() > 0 else None

    def _note(self, number: int, *, passed: bool) -> None:
        """A bin of which no pair passes, again and again, is asked for no more: the others would wait for ever."""
        self._failures[number] = 0 if passed else self._failures[number] + 1
        if self._failures[number] >= self.task.options.most_failures:
            self.state.ban(number)

    def _held(self, cases: Sequence[PooledCase]) -> np.ndarray:
        """Number of cases in each bin."""
        return np.bincount([self.bins.find(one.volume_ml) for one in cases], minlength=len(self.bins)).astype(float)

    def _moved(self, cases: Sequence[PooledCase], wanted: np.ndarray) -> bool:
        """Whether the schedule asks for volumes of which a full pool has too few."""
        return bool((self.bins.lacking(self._held(cases), wanted) >= 1.0).any())

    def _least_needed(self, cases: Sequence[PooledCase], wanted: np.ndarray) -> str:
        """The case of the bin with most cases too many; among those the one most drawn, then the oldest."""
        uses, held = self.state.uses(), self._held(cases)
        surplus = held - wanted * held.sum()

        def need(one: PooledCase) -> tuple[bool, float, int, int]:
            worn = uses[one.slot] >= self.task.options.most_uses
            return (not worn, -surplus[self.bins.find(one.volume_ml)], -uses[one.slot], one.number)

        return min(cases, key=need).name


def _slot_of(state: SharedPoolState) -> Callable[[PooledCase], None]:
    """Has a case's uses counted from 0."""
    return lambda case: state.give_slot(case.slot, case.number)


def _end_with(parent: int, leaves_behind: Path | None) -> None:
    """End this process when its parent is gone, whatever it is doing, and remove the pool that nobody else will."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    for _ in range(2):  # the generator may be writing meanwhile
        if leaves_behind is not None:
            shutil.rmtree(leaves_behind, ignore_errors=True)
    os._exit(1)
