"""Reading files that somebody else may have put into a cache."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from synthaug.errors import StoreError


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes; a symbolic link is refused.

    Raises:
        StoreError: it is a link, not a regular file, or larger.
        FileNotFoundError: it is not there.
    """
    irregular = f"{path}: is not a regular file; remove it and run `synthaug precompute` again"
    try:
        file = open(path, "rb", opener=_open_without_following)  # noqa: SIM115 - closed below
    except IsADirectoryError:
        raise StoreError(irregular) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{path}: is a symbolic link; a cache holds regular files only: copy the file") from None
        raise
    with file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(irregular)
        if found.st_size > limit:
            raise StoreError(f"{path}: has {found.st_size} bytes, at most {limit} are expected; the file is damaged")
        return file.read(limit + 1)


def _open_without_following(path: str, flags: int) -> int:
    """Neither a link is followed nor a pipe waited for."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
