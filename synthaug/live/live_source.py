"""A source whose cases are made while the training runs."""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import shutil
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import ConfigurationError, StoreError
from synthaug.labels import LabelScheme
from synthaug.live.generating import LiveTask
from synthaug.live.options import LiveOptions
from synthaug.live.pool import PooledCase, PoolReader, claim_pool, sole_writer
from synthaug.live.pool_folder import new_pool_folder
from synthaug.live.shared_pool_state import SharedPoolState
from synthaug.live.supervisor import Supervisor
from synthaug.live.training_form import TrainingForm
from synthaug.live.volume_bins import VolumeBins
from synthaug.mixing.argument_checks import check_progress_told, check_whole
from synthaug.mixing.shared_progress import SharedProgress
from synthaug.quality import QualityConfig
from synthaug.schedules import VolumeSchedule, parse_schedule
from synthaug.sources.source import Draw
from synthaug.sources.streams import Stream, stream
from synthaug.store import Store, StoreInfo
from synthaug.volumes import CaseRecord, LabeledVolume

DAMAGED = 1 << 30
"""Uses of a case that cannot be read: it is drawn no more, and leaves first."""


class LiveSource:
    """Pairs from a pool that a process of its own keeps filling, balanced towards the schedule.

    A draw never waits: where the pool has no case of the volume that is due, there is none, and the training loop
    takes a real one. ``start`` waits once for the first cases.

    Args:
        generator: name or folder of a generator, or ``python:MODULE:FACTORY``; it is loaded in the other process.
        schedule: of volumes in mL, or its text; None: uniform over all that the generator allows.
        options: of the pool and the process.
        device: of the generator.
        folder: of the pool, which stays; None: a temporary one, in memory where ``/dev/shm`` has room.
        cache: a store of the same generator, or its folder, whose cases fill the pool at the start.
        form: what the pool keeps of a case beside the pair.
        writes: whether this process starts the generating one; the other ranks of a node read the pool in ``folder``
            that one of them writes.
        quality: limits.
        epochs: length of the training; None where ``set_epoch`` is told the progress, or nothing moves.
        seed: of the draws.
        **generator_options: sampler settings.

    Raises:
        BoundsError: the schedule asks for volumes that the generator does not allow.
    """

    def __init__(
        self,
        generator: str | Path,
        schedule: VolumeSchedule | str | Mapping[str, Any] | None = None,
        *,
        options: LiveOptions | None = None,
        device: str = "auto",
        folder: Path | str | None = None,
        cache: Store | Path | str | None = None,
        form: TrainingForm | None = None,
        writes: bool = True,
        quality: QualityConfig | None = None,
        epochs: int | None = None,
        seed: int = 0,
        **generator_options: Any,
    ) -> None:
        _refuse_a_rerun_of_the_script()
        # these load torch and the generators
        from synthaug.networks.precision import choose_device
        from synthaug.precomputing import load_named_generator
        from synthaug.precomputing.requests import default_schedule

        self.options = _options(options)
        choose_device(device)
        check_whole("seed", seed, 0)
        if epochs is not None:
            check_whole("epochs", epochs, 1)
        if folder is None and not writes:
            raise ConfigurationError("live: a process that only reads needs the folder of the pool that is written")
        known = load_named_generator(str(generator), device="cpu", **generator_options)
        if schedule is None:
            schedule = default_schedule(known)
        self.schedule = schedule if isinstance(schedule, VolumeSchedule) else parse_schedule(schedule)
        self._info = StoreInfo.of(known)
        self.limits_ml = _limits(known.bounds.limits_ml, self.schedule)
        self._bins = VolumeBins(*self.limits_ml)
        self.cache = Store.open(cache) if isinstance(cache, (str, Path)) else cache
        if self.cache is not None:
            self.cache.info.require(self._info, self.cache.folder)
        self._owner = os.getpid()
        self._own_folder = folder is None
        self.folder = new_pool_folder() if folder is None else Path(folder)
        if self._own_folder:
            weakref.finalize(self, _remove, self.folder, self._owner)
        if writes:
            claim_pool(self.folder, self._info)
            with sole_writer(self.folder):
                self.state = SharedPoolState(self.folder, self.options.capacity, len(self._bins), create=True)
        else:
            self.state = SharedPoolState(self.folder, self.options.capacity, len(self._bins), create=False)
        self.place = SharedProgress()
        self._reader = PoolReader(self.folder, self.options.capacity)
        self._store: Store | None = None
        task = LiveTask(
            generator=str(generator),
            generator_options=generator_options,
            device=device,
            folder=self.folder,
            schedule=self.schedule,
            quality=quality or QualityConfig(),
            options=self.options,
            limits_ml=self.limits_ml,
            epochs=epochs,
            seed=seed,
            form=form,
            cache=None if self.cache is None else self.cache.folder,
            remove_folder=self._own_folder,
        )
        self._supervisor = Supervisor(task, self.state, self.place) if writes else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_supervisor": None, "_own_folder": False}  # workers read only

    # ------------------------------------------------------------------ life

    def start(self) -> LiveSource:
        """Start the process, and wait for the first cases.

        Raises:
            StoreError: none came in time, or the process cannot work; it is ended.
            ConfigurationError: the source was shut down before.
        """
        if self._supervisor is not None:
            self._supervisor.start()
            atexit.register(self.shutdown)
        deadline = time.monotonic() + self.options.patience_s
        while (held := len(self._reader.cases())) < self.options.first:
            if self.state.frozen and held:
                break  # it worked once; the training goes on with what there is
            if self.state.frozen or time.monotonic() > deadline:
                message = self._failed_start(held)
                self.shutdown()
                raise StoreError(message)
            time.sleep(0.05)
        return self

    def _failed_start(self, held: int) -> str:
        reason = self._supervisor.last_failure if self._supervisor is not None else ""
        rejects = ", ".join(f"{why} {count} times" for why, count in self._reader.rejects().items())
        told = "; ".join(
            [
                *([f"the generating process {reason}"] if reason else []),
                *([f"quality control rejected pairs: {rejects}"] if rejects else []),
            ]
        )
        return (
            f"live: {held} of {self.options.first} first cases came within {self.options.patience_s:.0f} s"
            + (f" ({told})" if told else "")
            + "; mend that, or give more patience_s or a smaller first"
        )

    def set_epoch(self, epoch: int, progress: float | None = None) -> None:
        """Tell where the training stands; the schedule that is made ahead for moves with it.

        Raises:
            ConfigurationError: no epoch, or no progress between 0 and 1.
        """
        self.place.set(check_whole("epoch", epoch, 0), check_progress_told(progress))

    def shutdown(self) -> None:
        """End the process, and remove the pool if it was made here."""
        if self._supervisor is not None and os.getpid() == self._owner:  # forked workers have a copy of this object
            atexit.unregister(self.shutdown)
            self._supervisor.shutdown()
            if self._own_folder:
                _remove(self.folder, self._owner)

    close = shutdown

    def __enter__(self) -> LiveSource:
        return self.start()

    def __exit__(self, *raised: object) -> None:
        self.shutdown()

    @property
    def supervisor(self) -> Supervisor:
        """Of the generating process, in the process that made this source.

        Raises:
            ConfigurationError: in another process.
        """
        if self._supervisor is None:
            raise ConfigurationError("live: the generating process is known to the process alone that made the source")
        return self._supervisor

    # ------------------------------------------------------------------ source

    @property
    def scheme(self) -> LabelScheme:
        """Label scheme of the generator."""
        return self._info.scheme

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of the generator."""
        return self._info.channels

    @property
    def training_cases(self) -> tuple[CaseRecord, ...]:
        """What the generator was fitted on."""
        return self._info.training_cases

    @property
    def structure(self) -> str:
        """The scheduled structure."""
        return self.schedule.structure

    def __len__(self) -> int:
        return len(self._reader.cases())

    def draw(self, index: int, *, seed: int, epoch: int, rank: int = 0, progress: float = 0.0) -> Draw | None:
        """Choose a case; see ``Source.draw``. None where the pool has none of the volume that is due."""
        rng = stream(Stream.DRAW, seed, rank, epoch, index)
        due = self._bins.find(self.schedule.draw(progress, rng))
        cases = [one for one in self._reader.cases() if self._bins.find(one.volume_ml) == due]
        uses = self.state.uses()
        fresh = [one for one in cases if uses[one.slot] < self.options.most_uses]
        # a generator that is slower than the loop costs variety, not the ratio that was asked for
        worn = [] if self.options.strict_uses and not self.state.frozen else self._least_worn(cases, uses)
        drawable = fresh or worn
        if not drawable:
            return None
        chosen = drawable[int(rng.integers(len(drawable)))]
        return Draw(
            chosen.name,
            {self.structure: chosen.volume_ml},
            chosen.seed,
            functools.partial(self._read, chosen),
            born=None if chosen.born < 0 else chosen.born,
            used=functools.partial(self.state.count_use, chosen.slot, chosen.number),
            discard=functools.partial(self.state.count_use, chosen.slot, chosen.number, DAMAGED),
        )

    def _least_worn(self, cases: Sequence[PooledCase], uses: Sequence[int]) -> list[PooledCase]:
        """The half that was drawn less, of cases that can be read."""
        readable = sorted((one for one in cases if uses[one.slot] < DAMAGED), key=lambda one: uses[one.slot])
        return readable[: -(-len(readable) // 2)]

    def _read(self, case: PooledCase) -> LabeledVolume | None:
        try:
            if self._store is None:
                self._store = Store.open(self.folder)
            pair = self._store.read(case.name)
        except (StoreError, OSError):
            # it left, or is damaged and makes room for another one: a real case stands in, and is counted
            self.state.count_use(case.slot, case.number, DAMAGED)
            return None
        self.state.count_use(case.slot, case.number)
        return pair

    def stats(self) -> dict[str, Any]:
        """How the pool stands: cases, uses, inserts, rejects, restarts, seconds of work."""
        cases, uses = self._reader.cases(), np.array(self.state.uses())
        used = uses[[one.slot for one in cases]] if cases else np.zeros(1)
        supervisor = self._supervisor
        return {
            "cases": len(cases),
            "inserted": self.state.inserted,
            "rejected": self.state.rejected,
            "rejects": dict(self._reader.rejects()),
            "restarts": supervisor.restarts if supervisor is not None else 0,
            "frozen": self.state.frozen,
            "busy_s": self.state.busy_s,
            "uses_p50": float(np.quantile(used, 0.5)),
            "uses_p95": float(np.quantile(used, 0.95)),
        }


def _options(options: LiveOptions | None) -> LiveOptions:
    if options is not None and not isinstance(options, LiveOptions):
        raise ConfigurationError(f"options is {options!r}; give LiveOptions(capacity=..., duty=..., ...)")
    return options or LiveOptions()


def _refuse_a_rerun_of_the_script() -> None:
    """A spawned process runs the training's script again, up to where it is guarded.

    Raises:
        ConfigurationError: this is such a process.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigurationError(
            'live: the generating process runs this script again; put what trains under if __name__ == "__main__":'
        )


def _remove(folder: Path, owner: int) -> None:
    """Remove a pool, unless this is a forked copy of the process that made it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _limits(limits_ml: Mapping[str, tuple[float, float]], schedule: VolumeSchedule) -> tuple[float, float]:
    low_ml, high_ml = schedule.limits_within(limits_ml)
    if not low_ml > 0:
        raise ConfigurationError(f"live: {schedule.structure} begins at {low_ml:g} mL; a volume above 0 is needed")
    return low_ml, high_ml
