"""A file layer that fails: at the n-th call that changes the disk, in the way that is asked for.

Within the block, the calls that open a file for writing, write, sync, rename, link, make or remove below a folder are
counted. A fault is an error of the system, or a power cut: then nothing of the process happens any more, not even its
clean-up, and what was not synced is lost.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Fault:
    """A way to fail.

    Attributes:
        name: for test ids.
        number: of the system's error; 0 is a power cut.
        calls: that fail with it.
        stays: whether all later ones fail too, as on a disk that stays full.
    """

    name: str
    number: int
    calls: frozenset[str]
    stays: bool


CREATING = frozenset({"open", "write", "mkdir", "link"})
ALL = CREATING | {"fsync", "rename", "unlink", "rmdir", "utime", "truncate"}
FAULTS = (
    Fault("full-disk", errno.ENOSPC, CREATING, True),
    Fault("no-permission", errno.EACCES, ALL - {"write", "fsync"}, True),
    Fault("read-only", errno.EROFS, ALL - {"fsync"}, True),
    Fault("input-output", errno.EIO, ALL, False),
    Fault("stale-handle", errno.ESTALE, ALL, False),
    Fault("power-cut", 0, ALL, True),
)


class PowerCut(BaseException):
    """The process is gone."""


@dataclass
class FaultyFiles:
    """What is done to the disk below a folder.

    Attributes:
        root: the folder.
        fault: how it fails.
        at: number of the call, from 1, at which it begins to; 0: never.
        count: calls so far, of the kinds that the fault takes.
        failed: whether it has.
        calls: names of all calls, for looking at.
    """

    root: Path
    fault: Fault
    at: int
    count: int = 0
    failed: bool = False
    calls: list[str] = field(default_factory=list)
    synced: dict[int, int] = field(default_factory=dict)

    def touch(self, call: str, path: Any) -> None:
        """Count a call; fail where it is due.

        Raises:
            OSError: the fault.
            PowerCut: likewise.
        """
        if self.fault.number == 0 and self.failed:
            raise PowerCut
        if call not in self.fault.calls:
            return
        self.count += 1
        self.calls.append(f"{call} {path}")
        if self.count == self.at or (self.failed and self.fault.stays):
            self.failed = True
            if self.fault.number == 0:
                raise PowerCut
            if call in ("write", "fsync"):  # of which the system names no file
                raise OSError(self.fault.number, os.strerror(self.fault.number))
            raise OSError(self.fault.number, os.strerror(self.fault.number), str(path))

    def holds(self, path: Any) -> bool:
        """Whether a path is below the folder."""
        return not isinstance(path, int) and os.path.abspath(os.fsdecode(path)).startswith(str(self.root))

    def lose_unsynced(self, before: dict[int, tuple[int, int]]) -> None:
        """Cut off what the disk did not have: the files that were made or changed, and not synced since."""
        for path in self.root.rglob("*"):
            if path.is_symlink() or not path.is_file():
                continue
            found = path.stat()
            unchanged = before.get(found.st_ino) == (found.st_size, found.st_mtime_ns)
            if not unchanged and self.synced.get(found.st_ino) != found.st_size:
                os.truncate(path, self.synced.get(found.st_ino, 0))


class _FaultyFile(io.FileIO):
    """A file whose writing may fail, half done."""

    layer: FaultyFiles

    def write(self, content: Any) -> int:
        try:
            self.layer.touch("write", self.name)
        except OSError:
            super().write(bytes(content)[: len(content) // 2])
            raise
        return super().write(content)


@contextmanager
def faulty_files(root: Path, fault: Fault, at: int) -> Iterator[FaultyFiles]:
    """Fail at the n-th call below a folder; ends a power cut by losing what was not synced."""
    layer = FaultyFiles(root.resolve(), fault, at)
    before = {p.stat().st_ino: (p.stat().st_size, p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}
    with pytest.MonkeyPatch.context() as patch:
        _patch_calls(layer, patch)
        opened = _opening(layer, builtins.open)
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        try:
            yield layer
        finally:
            patch.undo()
            if layer.failed and fault.number == 0:
                layer.lose_unsynced(before)


def _patch_calls(layer: FaultyFiles, patch: pytest.MonkeyPatch) -> None:
    kinds = {"mkdir": "mkdir", "unlink": "unlink", "remove": "unlink", "rmdir": "rmdir", "rename": "rename",
             "replace": "rename", "link": "link", "utime": "utime", "truncate": "truncate"}  # fmt: skip
    for name, kind in kinds.items():
        patch.setattr(os, name, _counted(layer, kind, getattr(os, name)))
    real_open, real_write, real_sync = os.open, os.write, os.fsync
    inside: set[int] = set()

    def open_(path: Any, flags: int, *more: Any, **named: Any) -> int:
        counted = bool(flags & WRITING) and layer.holds(path) and "dir_fd" not in named
        if counted:
            layer.touch("open", path)
        descriptor = real_open(path, flags, *more, **named)
        (inside.add if counted else inside.discard)(descriptor)
        return descriptor

    def write(descriptor: int, content: Any) -> int:
        if descriptor in inside:
            try:
                layer.touch("write", descriptor)
            except OSError:
                real_write(descriptor, bytes(content)[: len(content) // 2])
                raise
        return real_write(descriptor, content)

    def fsync(descriptor: int) -> None:
        if layer.holds(os.readlink(f"/proc/self/fd/{descriptor}")):
            layer.touch("fsync", descriptor)
            found = os.fstat(descriptor)
            layer.synced[found.st_ino] = found.st_size
        # the real one would cost milliseconds, thousands of times

    patch.setattr(os, "open", open_)
    patch.setattr(os, "write", write)
    patch.setattr(os, "fsync", fsync)
    del real_sync


def _counted(layer: FaultyFiles, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any, *more: Any, **named: Any) -> Any:
        if layer.holds(path) or named.get("dir_fd") is not None:
            layer.touch(kind, path)
        return real(path, *more, **named)

    return call


def _opening(layer: FaultyFiles, real: Callable[..., Any]) -> Callable[..., Any]:
    def open_(
        file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
        newline: str | None = None, closefd: bool = True, opener: Any = None,
    ) -> Any:  # fmt: skip
        if not any(letter in mode for letter in "wax+") or not layer.holds(file):
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        layer.touch("open", file)
        raw = _FaultyFile(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        raw.layer = layer
        if buffering == 0:
            return raw
        buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)

    return open_
