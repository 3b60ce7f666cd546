"""Mistakes in one line, as every command line of this package tells them."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from synthaug.errors import ConfigurationError

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130

MISTAKEN_PATHS = {
    errno.EACCES: "choose another path, or change its permissions",
    errno.EDQUOT: "free some space, or choose another disk",
    errno.EEXIST: "choose another path",
    errno.EIO: "check the disk, and run the same command again",
    errno.EISDIR: "name a file, not a folder",
    errno.ELOOP: "choose another path, or mend the symbolic links",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOSPC: "free some space, or choose another disk",
    errno.ENOTDIR: "choose another path",
    errno.EPERM: "choose another path",
    errno.EROFS: "choose another path",
    errno.ESTALE: "check the network file system, and run the same command again",
}
"""Operating system errors that a user mends (a missing or forbidden path, a full disk), and how."""
OF_DISKS = (errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESTALE)
"""Those that the system tells of a file that is open, without its name."""


def one_line(text: str) -> str:
    """One line, in which nothing that a file or an argument holds can move the terminal's cursor."""
    return "".join(one if one.isprintable() else " " if one.isspace() else f"\\x{ord(one):02x}" for one in text)


def leave_broken_stdout() -> None:
    """Part with a stdout that takes nothing more.

    What could not be written would be tried once more, and told in a traceback, when Python ends.
    """
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def refuse_empty_text(arguments: Sequence[str]) -> None:
    """An empty text (a shell variable that is not set) would be read as the current folder.

    Raises:
        ConfigurationError: there is one.
    """
    for before, word in zip(["", *arguments], arguments, strict=False):
        option, separator, value = word.partition("=")
        if not word or (option.startswith("--") and separator and not value):
            where = option or (before if before.startswith("-") else "argument")
            raise ConfigurationError(f"{where} '': is empty; give a value, and check the variable that it came from")


def system_mistake(error: OSError) -> str | None:
    """What is wrong with a path or a disk, and the mend; None for what no user mends, a defect.

    The file that stands where a folder is needed is named.
    """
    if not isinstance(error.filename, str | bytes):
        return f"{error.strerror}; {MISTAKEN_PATHS[error.errno]}" if error.errno in OF_DISKS else None
    if error.errno not in MISTAKEN_PATHS:
        return None
    path = Path(os.fsdecode(error.filename))
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        for part in (path, *path.parents):
            if os.path.lexists(part) and not part.is_dir():
                return f"{part}: is a file, and a folder is needed there; choose another path"
    return f"{path}: {error.strerror}; {MISTAKEN_PATHS[error.errno]}"
