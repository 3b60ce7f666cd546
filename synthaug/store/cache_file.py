"""Reading files that somebody else may have put into a cache."""

from __future__ import annotations

from pathlib import Path

from synthaug.errors import StoreError
from synthaug.files import bounded_reading


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes; a symbolic link is refused.

    Raises:
        StoreError: it is a link, not a regular file, or larger.
        FileNotFoundError: it is not there.
    """
    mend = "remove it and run `synthaug precompute` again"
    return bounded_reading.read_bounded(path, limit, error=StoreError, mend=mend, follow_links=False)
