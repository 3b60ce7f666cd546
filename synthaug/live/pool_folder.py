"""Where pools are, and what becomes of those whose training was killed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from synthaug.files.process_identity import ProcessIdentity

PREFIX = "synthaug-pool-"
ROOM_IN_MEMORY = 2 << 30
"""Bytes; with less free, a pool goes to the disk."""


def new_pool_folder(parent: Path | None = None) -> Path:
    """A fresh folder of this process, in memory where there is room; those of processes that are gone are removed."""
    memory = Path("/dev/shm")
    parents = [Path(tempfile.gettempdir()), *([memory] if memory.is_dir() else [])] if parent is None else [parent]
    for one in parents:
        remove_abandoned(one)
    roomy = [one for one in parents if shutil.disk_usage(one).free > ROOM_IN_MEMORY]
    chosen = (roomy or parents)[-1] if parent is None else parent
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{ProcessIdentity.current().tag}-", dir=chosen))


def remove_abandoned(parent: Path) -> None:
    """Remove the pools of processes of this machine that are no longer there."""
    for folder in parent.glob(f"{PREFIX}*"):
        owner = ProcessIdentity.from_tag(folder.name.removeprefix(PREFIX).rpartition("-")[0])
        if owner is not None and owner.is_alive() is False:
            shutil.rmtree(folder, ignore_errors=True)
