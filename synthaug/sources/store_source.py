"""Draws from the cases of a store."""

from __future__ import annotations

import functools
import warnings

import numpy as np

from synthaug.errors import StoreError
from synthaug.labels import LabelScheme
from synthaug.schedules import VolumeSchedule
from synthaug.sources.kept_pairs import KeptPairs
from synthaug.sources.source import Draw
from synthaug.sources.streams import Stream, stream
from synthaug.sources.volume_index import VolumeIndex
from synthaug.store import CaseEntry, Store
from synthaug.volumes import CaseRecord, LabeledVolume

LOW_COVERAGE = 0.5
"""Share of a schedule within the cases' volumes below which a warning says so."""

REDRAWS = 20
"""How often a case that is gone is drawn anew before the cache is looked at again."""

KEEP_GB = 0.5
"""Eighteen pairs of 160 x 192 x 160 voxels with one channel, 30 MB each."""


class StoreSource:
    """A fixed cache as a source.

    Args:
        store: its cases at this moment; ``refresh`` looks again.
        schedule: of volumes in mL; None: every case is as likely as any other.
        max_bins: of the volume index.
        keep_gb: memory for pairs that stay decoded after they were read, in each process that reads; 0 keeps none.

    Raises:
        ConfigurationError: ``keep_gb`` is below 0.
        StoreError: the store is empty, its cases lack the scheduled structure, or none has a volume that the schedule
            asks for.
    """

    def __init__(
        self, store: Store, schedule: VolumeSchedule | None = None, *, max_bins: int = 256, keep_gb: float = KEEP_GB
    ) -> None:
        self.store = store
        self.schedule = schedule
        self._kept = KeptPairs(store.read, keep_gb)
        self._max_bins = max_bins
        self._chances: tuple[float, np.ndarray] | None = None
        self.refresh()
        self._check_coverage()

    @property
    def scheme(self) -> LabelScheme:
        """Label scheme of the store."""
        return self.store.info.scheme

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of the store."""
        return self.store.info.channels

    @property
    def training_cases(self) -> tuple[CaseRecord, ...]:
        """What the generator of the cases was fitted on."""
        return self.store.info.training_cases

    @property
    def structure(self) -> str:
        """The scheduled structure; without a schedule the group of ventricles, or the first that was asked for."""
        if self.schedule is not None:
            return self.schedule.structure
        known = (*self.scheme.groups, *self.scheme.names)
        return "ventricles" if "ventricles" in known else next(iter(self.store.info.bounds_ml or known))

    def refresh(self) -> None:
        """Take in cases that were added, drop those that are gone."""
        entries = self.store.entries()
        structure = self.structure
        if not entries:
            raise StoreError(f"{self.store.folder}: the cache is empty; fill it with `synthaug precompute`")
        if structure not in entries[0].realised_ml:
            known = ", ".join(sorted(entries[0].realised_ml))
            raise StoreError(
                f"{self.store.folder}: its cases have no volume of {structure!r}, which is scheduled; known are {known}"
            )
        self._entries = {entry.name: entry for entry in entries}
        self.index = VolumeIndex(
            list(self._entries), [entry.realised_ml[structure] for entry in entries], self._max_bins
        )
        self._chances = None

    def _check_coverage(self) -> None:
        """The nearest cases stand in for volumes that no case has, and nobody would see it."""
        if self.schedule is None:
            return
        covered = min(self.index.coverage(self.schedule, progress) for progress in self.schedule.phases)
        if covered >= LOW_COVERAGE:
            return
        low_ml, high_ml = self.index.volumes_ml[[0, -1]]
        found = (
            f"{self.store.folder}: its cases have {low_ml:.0f} to {high_ml:.0f} mL of {self.structure}, which is "
            f"{covered:.0%} of what the schedule ({self.schedule.kind}) asks for"
        )
        if covered <= 0:
            raise StoreError(f"{found}; choose a schedule within, or add such cases with `synthaug precompute`")
        warnings.warn(f"{found}; the rest is left out and the cases at hand are drawn more often", stacklevel=3)

    def __len__(self) -> int:
        return len(self.index)

    def draw(self, index: int, *, seed: int, epoch: int, rank: int = 0, progress: float = 0.0) -> Draw:
        """Choose a case; see ``Source.draw``. Of cases that were pruned meanwhile, another one takes the place."""
        return self._draw(stream(Stream.DRAW, seed, rank, epoch, index), progress)

    def _draw(self, rng: np.random.Generator, progress: float) -> Draw:
        entry = self._choose(rng, progress)
        for _ in range(REDRAWS):
            if entry.name in self.store:
                break
            entry = self._choose(rng, progress)
        else:
            self.refresh()
            entry = self._choose(rng, progress)
        return Draw(entry.name, entry.realised_ml, entry.seed, functools.partial(self._read, entry.name, rng, progress))

    def _choose(self, rng: np.random.Generator, progress: float) -> CaseEntry:
        position = self.index.case_at(rng.random(), self._bin_chances(progress))
        return self._entries[self.index.names[position]]

    def _read(self, name: str, rng: np.random.Generator, progress: float) -> LabeledVolume | None:
        try:
            return self._kept.read(name)
        except StoreError:
            if name in self.store:
                raise  # damaged: that is for the user to know
        return self._draw(rng, progress).read()  # pruned since it was drawn

    def _bin_chances(self, progress: float) -> np.ndarray | None:
        if self.schedule is None:
            return None
        if self._chances is None or (self._chances[0] != progress and not self.schedule.is_constant):
            self._chances = (progress, self.index.bin_chances(self.schedule, progress))
        return self._chances[1]
