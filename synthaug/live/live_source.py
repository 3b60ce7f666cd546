"""A source whose cases are made while the training runs."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import BoundsError, ConfigurationError, StoreError
from synthaug.labels import LabelScheme
from synthaug.live.case_form import CaseForm
from synthaug.live.generating import LiveTask
from synthaug.live.options import LiveOptions
from synthaug.live.pool import PooledCase, PoolReader
from synthaug.live.pool_folder import new_pool_folder
from synthaug.live.shared_pool_state import SharedPoolState
from synthaug.live.supervisor import Supervisor
from synthaug.live.volume_bins import VolumeBins
from synthaug.quality import QualityConfig
from synthaug.schedules import VolumeSchedule, parse_schedule
from synthaug.shared_progress import SharedProgress
from synthaug.sources.source import Draw
from synthaug.sources.streams import Stream, stream
from synthaug.store import Store, StoreInfo
from synthaug.volumes import LabeledVolume


class LiveSource:
    """Pairs from a pool that a process of its own keeps filling, balanced towards the schedule.

    A draw never waits: where the pool has no case of the volume that is due, there is none, and the training loop
    takes a real one. ``start`` waits once for the first cases.

    Args:
        generator: name or folder of a generator, or ``python:MODULE:FACTORY``; it is loaded in the other process.
        schedule: of volumes in mL, or its text; None: log-uniform over all that the generator allows.
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
        folder: Path | None = None,
        cache: Store | Path | str | None = None,
        form: CaseForm | None = None,
        writes: bool = True,
        quality: QualityConfig | None = None,
        epochs: int | None = None,
        seed: int = 0,
        **generator_options: Any,
    ) -> None:
        from synthaug.precomputing import load_named_generator
        from synthaug.precomputing.requests import default_schedule

        known = load_named_generator(str(generator), device="cpu", **generator_options)
        if schedule is None:
            schedule = default_schedule(known)
        self.schedule = schedule if isinstance(schedule, VolumeSchedule) else parse_schedule(schedule)
        self.options = options or LiveOptions()
        self._info = StoreInfo.of(known)
        low_ml, high_ml = _limits(known.bounds.limits_ml, self.schedule)
        self._bins = VolumeBins(low_ml, high_ml)
        if folder is None and not writes:
            raise ConfigurationError("live: a process that only reads needs the folder of the pool that is written")
        self.cache = Store.open(cache) if isinstance(cache, (str, Path)) else cache
        if self.cache is not None:
            self.cache.info.require(self._info, self.cache.folder)
        self.limits_ml = (low_ml, high_ml)
        self._own_folder = folder is None
        self.folder = new_pool_folder() if folder is None else Path(folder)
        if writes:
            Store.open_or_create(self.folder, self._info)
        self.place = SharedProgress()
        self.state = SharedPoolState(self.folder, self.options.capacity, len(self._bins), create=writes)
        self._owner = os.getpid()
        self._reader = PoolReader(self.folder)
        self._store: Store | None = None
        task = LiveTask(
            str(generator),
            generator_options,
            device,
            self.folder,
            self.schedule,
            quality or QualityConfig(),
            self.options,
            (low_ml, high_ml),
            epochs,
            seed,
            form,
            None if self.cache is None else self.cache.folder,
            self._own_folder,
        )
        self._supervisor = Supervisor(task, self.state, self.place) if writes else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_supervisor": None, "_own_folder": False}  # workers read only

    # ------------------------------------------------------------------ life

    def start(self) -> LiveSource:
        """Start the process, and wait for the first cases.

        Raises:
            StoreError: none came in time.
        """
        if self._supervisor is not None:
            self._supervisor.start()
            atexit.register(self.shutdown)
        deadline = time.monotonic() + self.options.patience_s
        while len(self._reader.cases()) < self.options.first and not self.state.frozen:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"live: {len(self._reader.cases())} of {self.options.first} first cases came within "
                    f"{self.options.patience_s:.0f} s; give more patience_s, or a smaller first"
                )
            time.sleep(0.05)
        return self

    def set_epoch(self, epoch: int, progress: float | None = None) -> None:
        """Tell where the training stands; the schedule that is made ahead for moves with it."""
        self.place.set(epoch, progress)

    def shutdown(self) -> None:
        """End the process, and remove the pool if it was made here."""
        if self._supervisor is not None and os.getpid() == self._owner:  # forked workers have a copy of this object
            atexit.unregister(self.shutdown)
            self._supervisor.shutdown()
            if self._own_folder:
                shutil.rmtree(self.folder, ignore_errors=True)

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
    def structure(self) -> str:
        """The scheduled structure."""
        return self.schedule.structure

    def __len__(self) -> int:
        return len(self._reader.cases())

    def draw(self, index: int, *, seed: int, epoch: int, rank: int = 0, progress: float = 0.0) -> Draw | None:
        """Choose a case; see ``Source.draw``. None where the pool has none of the volume that is due."""
        rng = stream(Stream.DRAW, seed, rank, epoch, index)
        due = self._bins.find(self.schedule.draw(progress, rng))
        cases = [one for one in self._drawable() if self._bins.find(one.volume_ml) == due]
        if not cases:
            return None
        chosen = cases[int(rng.integers(len(cases)))]
        return Draw(
            chosen.name,
            {self.structure: chosen.volume_ml},
            chosen.seed,
            functools.partial(self._read, chosen),
            born=chosen.born,
            used=functools.partial(self.state.count_use, chosen.slot),
            discard=functools.partial(self.state.count_use, chosen.slot, self.options.most_uses),
        )

    def _drawable(self) -> Sequence[PooledCase]:
        cases = self._reader.cases()
        if self.state.frozen:
            return cases
        uses = self.state.uses()
        return [one for one in cases if uses[one.slot] < self.options.most_uses]

    def _read(self, case: PooledCase) -> LabeledVolume | None:
        if self._store is None:
            self._store = Store.open(self.folder)
        try:
            pair = self._store.read(case.name)
        except (StoreError, OSError):
            # it left, or is damaged and makes room for another one: a real case stands in, and is counted
            self.state.count_use(case.slot, self.options.most_uses)
            return None
        self.state.count_use(case.slot)
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


def _limits(limits_ml: Mapping[str, tuple[float, float]], schedule: VolumeSchedule) -> tuple[float, float]:
    if schedule.structure not in limits_ml:
        raise BoundsError(
            f"schedule ({schedule.kind}): the generator takes no target for {schedule.structure!r}; allowed are "
            f"{', '.join(limits_ml)}"
        )
    low_ml, high_ml = limits_ml[schedule.structure]
    outside = max(schedule.share_outside(low_ml, high_ml, progress) for progress in schedule.phases)
    if outside > 1e-9:
        raise BoundsError(
            f"schedule ({schedule.kind}): a share of {outside:.2g} of its volumes is out of bounds; allowed: "
            f"{schedule.structure} {low_ml:g} to {high_ml:g} mL; choose a schedule that ends there"
        )
    if not low_ml > 0:
        raise ConfigurationError(f"live: {schedule.structure} begins at {low_ml:g} mL; a volume above 0 is needed")
    return low_ml, high_ml
