"""Reading files that somebody else may have written: neither larger than expected, nor pipes, nor elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from synthaug.errors import SynthAugError


def read_bounded(
    path: Path, limit: int, *, error: type[SynthAugError] = SynthAugError, mend: str, follow_links: bool = True
) -> bytes:
    """The content of a regular file of at most ``limit`` bytes.

    Args:
        path: the file.
        limit: in bytes; nothing of a larger file is read.
        error: class of error to raise.
        mend: what to do about something else than a file.
        follow_links: whether the path may be a symbolic link.

    Raises:
        error: it is not a regular file, a link where none may be, or larger.
        OSError: it is not there, or cannot be read.
    """
    irregular = f"{path}: is not a regular file; {mend}"
    try:
        file = open(path, "rb", opener=_open_at_once if follow_links else _open_without_following)  # noqa: SIM115
    except IsADirectoryError:
        raise error(irregular) from None
    except OSError as problem:
        if problem.errno == errno.ELOOP and not follow_links:
            raise error(f"{path}: is a symbolic link; a cache holds regular files only: copy the file") from None
        raise
    with file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise error(irregular)
        if found.st_size > limit:
            raise error(f"{path}: has {found.st_size} bytes, at most {limit} are expected; the file is damaged")
        return file.read(limit + 1)


def _open_at_once(path: str, flags: int) -> int:
    """A pipe is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _open_without_following(path: str, flags: int) -> int:
    """Neither a link is followed nor a pipe waited for."""
    return _open_at_once(path, flags | getattr(os, "O_NOFOLLOW", 0))
