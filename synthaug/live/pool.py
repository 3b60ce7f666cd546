"""A bounded store of cases: one process writes, any number read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from synthaug.errors import StoreError
from synthaug.files.atomic import replace_file
from synthaug.files.json_object import read_json_object
from synthaug.live.training_form import TrainingForm
from synthaug.quality import QualityReport
from synthaug.store import Store, StoreInfo
from synthaug.volumes import LabeledVolume

LIST_NAME = "pool.json"
LOCK_NAME = "pool.lock"

GRACE_S = 5.0
"""Time to read a case that was chosen before it left."""


@dataclass(frozen=True)
class PooledCase:
    """A case that may be drawn.

    Attributes:
        name: of the case in the store.
        volume_ml: realised, of the scheduled structure.
        seed: that it was made with.
        slot: its place among the counters of uses; a new case takes over that of one that left.
        born: epoch in which it was made.
        number: how many cases were made before it.
    """

    name: str
    volume_ml: float
    seed: int
    slot: int
    born: int
    number: int


class PoolReader:
    """What a pool holds, as it changes.

    Args:
        folder: of the pool's store.
        capacity: cases with a slot beyond it are of a larger pool before, and left out.
    """

    def __init__(self, folder: Path, capacity: int) -> None:
        self.folder = folder
        self._capacity = capacity
        self._seen: tuple[int, int, int] | None = None
        self._cases: tuple[PooledCase, ...] = ()
        self._rejects: Counter[str] = Counter()

    def rejects(self) -> Counter[str]:
        """How often quality control gave which reason, as far as the list was written since."""
        self.cases()
        return self._rejects

    def cases(self) -> tuple[PooledCase, ...]:
        """The cases at this moment; the list is read again only where it was replaced."""
        path = self.folder / LIST_NAME
        try:
            found = path.stat()
            key = (found.st_ino, found.st_mtime_ns, found.st_size)
            if key != self._seen:
                listed = read_json_object(path, error=StoreError)
                cases = tuple(PooledCase(**one) for one in listed["cases"])
                self._rejects = Counter(listed["rejects"])
                self._cases = tuple(one for one in cases if 0 <= one.slot < self._capacity)
                self._seen = key
        except (StoreError, OSError, ValueError, TypeError, LookupError):
            pass  # not there yet, or damaged: what was known stays
        return self._cases


class PoolWriter:
    """Adds cases, and lets those go that are needed least.

    A case leaves in two steps: off the list, and, `GRACE_S` later, off the disk. Who chose it just before can read it.

    Args:
        store: of the pool.
        capacity: most cases on the list.
        most_bytes: of all files of the pool, as far as cases are of one size; None: whatever the disk holds.
        form: what else is kept of each case.
    """

    def __init__(
        self, store: Store, capacity: int, *, most_bytes: float | None = None, form: TrainingForm | None = None
    ) -> None:
        self.store = store
        self._most_cases = capacity
        self._most_bytes = most_bytes
        self._form = form
        self._reader = PoolReader(store.folder, capacity)
        self.rejects = self._reader.rejects()
        self._leaving: list[tuple[float, str]] = []
        self._drop_unlisted()

    @property
    def cases(self) -> tuple[PooledCase, ...]:
        """What is on the list."""
        return self._reader.cases()

    @property
    def capacity(self) -> int:
        """Cases that the pool holds at most."""
        held = len(self.cases)
        if self._most_bytes is None or held == 0:
            return self._most_cases
        # one more case is on the disk while another one takes its place
        by_size = int(self._most_bytes / (pool_bytes(self.store.folder) / (held + len(self._leaving)))) - 1
        return max(1, min(self._most_cases, by_size))

    def add(
        self,
        name: str,
        pair: LabeledVolume,
        report: QualityReport | None,
        volume_ml: float,
        *,
        epoch: int,
        leave: str | None,
        before: Callable[[PooledCase], None] = lambda case: None,
    ) -> PooledCase:
        """Store a case and list it.

        Args:
            name: from ``case_name``.
            pair: the pair.
            report: the verdict of quality control.
            volume_ml: of the scheduled structure.
            epoch: of the training.
            leave: the case whose place it takes, where the pool is full.
            before: called with the case before it is listed, hence before anybody can draw it.

        Raises:
            StoreError: the disk refuses; the pool is as it was.
        """
        cases = list(self.cases)
        if len(cases) >= self.capacity and leave is None:
            raise StoreError(f"{self.store.folder}: holds {len(cases)} of {self.capacity} cases; name one that leaves")
        self.store.add(name, pair, report)
        if self._form is not None:
            try:
                self._form.add(self.store, name, pair)
            except OSError as error:
                self._delete(name)
                raise StoreError(f"{self.store.folder}: case {name} cannot be written ({error.strerror})") from error
        kept = [one for one in cases if one.name not in (leave, name)]
        free = sorted(set(range(self._most_cases)) - {one.slot for one in kept})
        number = 1 + max((one.number for one in cases), default=-1)
        added = PooledCase(name, float(volume_ml), int(pair.provenance.get("seed", -1)), free[0], epoch, number)
        before(added)
        self._list([*kept, added])
        if leave is not None and leave != name:
            self._leaving.append((time.monotonic(), leave))
        self._delete_left()
        return added

    def _list(self, cases: Sequence[PooledCase]) -> None:
        content = json.dumps({"cases": [asdict(one) for one in cases], "rejects": self.rejects})
        try:
            replace_file(self.store.folder / LIST_NAME, content.encode())
        except OSError as error:
            raise StoreError(f"{self.store.folder / LIST_NAME}: cannot be written ({error.strerror})") from error

    def _delete_left(self) -> None:
        overdue = time.monotonic() - GRACE_S
        for left, name in self._leaving:
            if left <= overdue:
                self._delete(name)
        self._leaving = [(left, name) for left, name in self._leaving if left > overdue]

    def _delete(self, name: str) -> None:
        if self._form is not None:
            self._form.remove(self.store, name)
        self.store.remove(name)

    def _drop_unlisted(self) -> None:
        """What a writer before this one stored and did not list, or listed no more and did not delete."""
        listed = {one.name for one in self.cases}
        for name in self.store.names():
            if name not in listed:
                self._delete(name)
        self.store.clean()


def claim_pool(folder: Path, made_by: StoreInfo) -> Store:
    """The store of a pool, new or the one of a training before.

    Raises:
        StoreError: it is a cache, of which cases would be removed; or another generator's pool.
    """
    is_pool = (folder / LIST_NAME).exists()
    if not is_pool and (folder / "cache.json").exists():
        raise StoreError(
            f"{folder}: is a cache, and a pool lets its cases go; give the cache as cache=, and another folder or none"
        )
    store = Store.open_or_create(folder, made_by)
    if not is_pool:
        replace_file(folder / LIST_NAME, json.dumps({"cases": [], "rejects": {}}).encode())
    return store


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold a pool against other writers; the system lets go of it when the process ends, however that comes.

    Raises:
        StoreError: another process writes to it, also after the seconds that one whose training was killed may take.
    """
    deadline = time.monotonic() + GRACE_S
    with open(folder / LOCK_NAME, "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"{folder}: another training fills this pool; give each its own folder, or none"
                    ) from error
                time.sleep(0.1)
        yield


def pool_bytes(folder: Path) -> int:
    """Size of all files of a pool."""
    return sum(os.lstat(os.path.join(where, name)).st_size for where, _, names in os.walk(folder) for name in names)
