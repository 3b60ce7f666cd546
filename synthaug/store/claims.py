"""Who makes which case, without a coordinator: one file per claimed case."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from synthaug.files.atomic import (
    TEMPORARY_SUFFIX,
    create_file,
    filesystem_now,
    folder_entries,
    parse_temporary_name,
    temporary_name,
)
from synthaug.files.process_identity import ProcessIdentity

DEFAULT_EXPIRY_S = 600.0


class Claims:
    """The folder ``claims`` of a store.

    A claim is a file that appears atomically and is touched while its owner works. It is void when its owner, a
    process of this machine, is gone, or when it was not touched for ``expiry_s`` seconds by the file system's clock.
    Claims only save work: should two processes ever hold one case (one was stopped, its claim expired and was taken
    over, and it went on), the store keeps the case that is finished first and drops the other.

    Args:
        folder: where the claims lie; made when the first case is claimed.
        expiry_s: seconds after which an untouched claim is void.
    """

    def __init__(self, folder: Path, expiry_s: float = DEFAULT_EXPIRY_S) -> None:
        self.folder = folder
        self.expiry_s = float(expiry_s)
        self._held: set[str] = set()

    def take(self, name: str) -> bool:
        """Claim a case; False where another process holds it."""
        self.folder.mkdir(exist_ok=True)
        path = self._path(name)
        content = json.dumps({"process": ProcessIdentity.current().tag}).encode()
        if not create_file(path, content) and not (
            self._void(path) and self._set_aside(path) and create_file(path, content)
        ):
            return False
        self._held.add(name)
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
            with contextlib.suppress(OSError):  # taken over after expiry: the store sorts it out
                os.utime(self._path(name))

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

    def names(self) -> list[str]:
        """The claimed cases, valid or void."""
        return sorted(entry.name for entry in folder_entries(self.folder) if not entry.name.startswith("."))

    def leftovers(self) -> list[Path]:
        """Void claims, and temporary files of processes that are gone."""
        found = [self._path(name) for name in self.names() if self._void(self._path(name))]
        for entry in folder_entries(self.folder):
            if entry.name.startswith(".") and entry.name.endswith(TEMPORARY_SUFFIX):
                parsed = parse_temporary_name(entry.name)
                if parsed is None or parsed[1] is None or parsed[1].is_alive() is False:
                    found.append(self.folder / entry.name)
        return found

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _owner(self, path: Path) -> ProcessIdentity | None:
        try:
            return ProcessIdentity.from_tag(json.loads(path.read_bytes())["process"])
        except (OSError, ValueError, TypeError, KeyError):
            return None  # gone, or being written on a file system without hard links: its age decides

    def _void(self, path: Path) -> bool:
        owner = self._owner(path)
        if owner is not None and owner.is_alive() is False:
            return True
        try:
            touched = path.stat().st_mtime
        except FileNotFoundError:
            return True
        return filesystem_now(self.folder) - touched > self.expiry_s

    def _set_aside(self, path: Path) -> bool:
        """Remove a void claim; of several processes that try, one succeeds.

        Between judging and renaming, another process may have replaced the void claim by its own: that one is put back.
        """
        aside = self.folder / temporary_name(path.name)
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return True
        try:
            if not self._void(aside):
                with contextlib.suppress(OSError):
                    os.link(aside, path)
                return False
            return True
        finally:
            aside.unlink(missing_ok=True)
