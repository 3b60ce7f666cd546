"""Who makes which case, without a coordinator: one file per claimed case."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from synthaug.files.atomic import (
    TEMPORARY_SUFFIX,
    create_file,
    folder_entries,
    parse_temporary_name,
    temporary_name,
)
from synthaug.files.parsed_json import parse_json
from synthaug.files.process_identity import ProcessIdentity
from synthaug.store.cache_file import read_bounded

DEFAULT_EXPIRY_S = 180.0
"""Four signs of life, and the minute for which a network file system may show old times."""

Mark = tuple[int, ...]
"""By which a claim that was touched or replaced is told from the one that was seen before."""

MAX_CLAIM_BYTES = 4096


class Claims:
    """The folder ``claims`` of a store.

    A claim is a file that appears atomically and is touched while its owner works. It is void when its owner, a
    process of this machine, is gone, or when this object has seen it untouched for ``expiry_s`` seconds. Those seconds
    are the observer's own, and of the file's times only their change counts: clocks of two machines are never compared,
    so that none of them needs to be right.

    Claims only save work: should two processes ever hold one case (one was stopped, its claim expired and was taken
    over, and it went on), the store keeps the case that is finished first and drops the other.

    Args:
        folder: where the claims lie; made when the first case is claimed.
        expiry_s: seconds after which an untouched claim is void.
        clock: monotonic seconds.
    """

    def __init__(
        self, folder: Path, expiry_s: float = DEFAULT_EXPIRY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder
        self.expiry_s = float(expiry_s)
        self._clock = clock
        self._held: set[str] = set()
        self._seen: dict[str, tuple[Mark, float]] = {}

    def take(self, name: str) -> bool:
        """Claim a case; False where another process holds it."""
        path = self._path(name)
        if not self._create(path):
            judged = self._void_mark(name)
            if judged is None or not self._set_aside(path, judged) or not self._create(path):
                return False
        self._held.add(name)
        self._seen.pop(name, None)
        return True

    def take_from_silent(self, name: str, poll_s: float = 1.0) -> bool:
        """``take``, after waiting for the owner's next sign of life, at most ``expiry_s`` seconds.

        For whoever looks once, and has not seen for how long a claim of another machine was left untouched.

        Returns:
            False where the owner lives.
        """
        pause = threading.Event()
        first = _mark(self._path(name))
        while not self.take(name):
            owner = self._owner(self._path(name))
            if (owner is not None and owner.is_alive()) or _mark(self._path(name)) not in (first, None):
                return False
            pause.wait(min(poll_s, self.expiry_s / 4))
        return True

    def release(self, name: str) -> None:
        """Give a claim back."""
        self._held.discard(name)
        if self._owner(self._path(name)) in (None, ProcessIdentity.current()):
            self._path(name).unlink(missing_ok=True)

    def release_all(self) -> None:
        """Give back what this object holds."""
        for name in tuple(self._held):
            self.release(name)

    def refresh(self) -> None:
        """Touch what this object holds."""
        for name in tuple(self._held):
            path = self._path(name)
            # one that was taken over while this process was stopped is its new owner's to touch
            if self._owner(path) == ProcessIdentity.current():
                with contextlib.suppress(OSError):
                    _touch(path)

    @contextlib.contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Touch the held claims from a thread four times per expiry, and release them at the end."""
        stop = threading.Event()

        def touch() -> None:
            while not stop.wait(self.expiry_s / 4):
                self.refresh()

        thread = threading.Thread(target=touch, name="synthaug-claims", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.release_all()

    def holds(self, name: str) -> bool:
        """Whether somebody has a case, and the claim is not void."""
        return bool(_mark(self._path(name))) and not self._void_mark(name)

    def names(self) -> list[str]:
        """The claimed cases, valid or void."""
        return sorted(entry.name for entry in folder_entries(self.folder) if not entry.name.startswith("."))

    def owners(self) -> set[ProcessIdentity]:
        """The processes that hold claims which are not void."""
        found = {self._owner(self._path(name)) for name in self.names() if self._void_mark(name) is None}
        return {owner for owner in found if owner is not None}

    def discard(self, settled: Collection[str]) -> None:
        """Remove claims of other machines on cases that nobody needs to make any more: their owners may be gone."""
        for name in self.names():
            if name in settled and (owner := self._owner(self._path(name))) is not None and owner.is_alive() is None:
                self._path(name).unlink(missing_ok=True)

    def leftovers(self) -> list[Path]:
        """Claims of processes of this machine that are gone, void ones, and temporary files of such processes."""
        found = [self._path(name) for name in self.names() if self._void_mark(name) is not None]
        for entry in folder_entries(self.folder):
            if entry.name.startswith(".") and entry.name.endswith(TEMPORARY_SUFFIX):
                parsed = parse_temporary_name(entry.name)
                if parsed is None or parsed[1] is None or parsed[1].is_alive() is False:
                    found.append(self.folder / entry.name)
        return found

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _create(self, path: Path) -> bool:
        if os.path.lexists(path):  # a look is cheaper than an attempt
            return False
        content = json.dumps({"process": ProcessIdentity.current().tag}).encode()
        try:
            return create_file(path, content, durable=False)
        except FileNotFoundError:
            self.folder.mkdir(exist_ok=True)
            return create_file(path, content, durable=False)

    def _owner(self, path: Path) -> ProcessIdentity | None:
        try:
            return ProcessIdentity.from_tag(parse_json(read_bounded(path, MAX_CLAIM_BYTES))["process"])
        except (OSError, ValueError, TypeError, KeyError):  # a StoreError is a ValueError
            return None  # gone, or being written on a file system without hard links: its silence decides

    def _void_mark(self, name: str) -> Mark | None:
        """The mark of a claim that is void, () where there is no claim any more; None for one that holds."""
        path = self._path(name)
        mark = _mark(path)  # before the content: a claim that is replaced in between has another one
        if mark is None:
            return ()
        owner = self._owner(path)
        if owner is not None and owner.is_alive() is False:
            return mark
        now = self._clock()
        seen, since = self._seen.get(name, ((), now))
        if seen != mark:
            self._seen[name] = (mark, now)
            return None
        return mark if now - since > self.expiry_s else None

    def _set_aside(self, path: Path, judged: Mark) -> bool:
        """Remove a void claim; of several processes that try, one succeeds.

        Between judging and renaming, another process may have replaced the void claim by its own: that one is put back.
        """
        aside = self.folder / temporary_name(path.name)
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return True
        try:
            if _mark(aside) != judged:
                with contextlib.suppress(OSError):
                    os.link(aside, path)
                return False
            return True
        finally:
            aside.unlink(missing_ok=True)


def _touch(path: Path) -> None:
    os.utime(path)


def _mark(path: Path) -> Mark | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    except OSError:
        return (time.monotonic_ns(),)  # a network file system in between two states: as good as touched
    return found.st_ino, found.st_size, found.st_mtime_ns
