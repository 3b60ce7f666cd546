"""Who writes: enough of a process to tell, later and on the same machine, whether it is still there."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_TAG = re.compile(r"([0-9a-f]{12})-(\d+)-(\d+)")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process.

    Attributes:
        machine: 12 hex digits of host name, boot and process namespace: after a restart, or in a container, the same
            process number means another process.
        pid: process number.
        start: start time in clock ticks since boot (0 where the system does not tell); a reused number has another one.
    """

    machine: str
    pid: int
    start: int

    @classmethod
    def current(cls) -> ProcessIdentity:
        """The calling process; asked anew each time, since a forked child is another one."""
        pid = os.getpid()
        return cls(_machine(), pid, _start_ticks(pid))

    @property
    def tag(self) -> str:
        """A form for file names."""
        return f"{self.machine}-{self.pid}-{self.start}"

    @classmethod
    def from_tag(cls, tag: str) -> ProcessIdentity | None:
        """The inverse of ``tag``; None for any other text."""
        found = _TAG.fullmatch(tag)
        return cls(found[1], int(found[2]), int(found[3])) if found else None

    def is_alive(self) -> bool | None:
        """True or False for a process of this machine, None for one of another machine."""
        if self.machine != _machine():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return not self._is_zombie() and _start_ticks(self.pid) == self.start

    def _is_zombie(self) -> bool:
        fields = _stat_fields(self.pid)
        return bool(fields) and fields[0] == "Z"


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command, which may itself hold spaces; empty without /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _start_ticks(pid: int) -> int:
    fields = _stat_fields(pid)
    return int(fields[19]) if len(fields) > 19 else 0


@lru_cache(maxsize=1)
def _machine() -> str:
    parts = [platform.node()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        pass  # not Linux: the host name has to do
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
