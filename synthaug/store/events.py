"""What happened while a store was built: one JSON line per event, one file per process."""

from __future__ import annotations

import contextlib
import itertools
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from synthaug.errors import StoreError
from synthaug.files.atomic import folder_entries
from synthaug.files.canonical_json import canonical_json
from synthaug.files.parsed_json import parse_json
from synthaug.files.process_identity import ProcessIdentity
from synthaug.store.cache_file import read_bounded

_SEAL = ', "crc32": "'
MAX_BYTES = 256 << 20
"""Of one process; ten thousand cases take about ten MB."""


def sealed_line(event: Mapping[str, Any]) -> str:
    """An object as one line of JSON with a checksum as its last member, without the line's end."""
    body = canonical_json(dict(event), indent=None)[:-1]
    return f'{body}{_SEAL}{zlib.crc32(body.encode()):08x}"}}'


def parse_sealed_line(line: str) -> dict[str, Any] | None:
    """The event of a line, None where a byte of it is not what was written."""
    body, found, seal = line.rpartition(_SEAL)
    if not found or seal != f'{zlib.crc32(body.encode()):08x}"}}':
        return None
    try:
        event = parse_json(body + "}")
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _append(descriptor: int, line: bytes) -> None:
    """Write a line whole; of one that the disk has no room for, nothing stays."""
    end = os.fstat(descriptor).st_size
    try:
        while line:
            line = line[os.write(descriptor, line) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, end)
        raise


class EventLog:
    """The folder ``events`` of a store.

    Each process appends to a file of its own, so that no lock is needed; a line is one ``write``, so that a killed
    process leaves at most its last line unfinished. Lines carry a checksum.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read_until: dict[str, int] = {}

    def write(self, event: str, **facts: Any) -> None:
        """Append one event.

        Args:
            event: its kind: ``stored``, ``rejected``, ``given-up``, ``removed``, ``indexed``, ``pulled``, ``started``,
                ``finished``, ``out-of-memory``.
            **facts: JSON-ready values.

        The line also has the time, ``at``, by the clock of this machine: for people, nothing depends on it.
        """
        self.write_all(event, [facts])

    def write_all(self, event: str, each: Iterable[Mapping[str, Any]]) -> None:
        """Append events of one kind, all at once.

        Raises:
            StoreError: the disk refuses.
        """
        path = self.folder / f"{ProcessIdentity.current().tag}.jsonl"
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        lines = b"".join(sealed_line({"event": event, "at": at, **facts}).encode() + b"\n" for facts in each)
        try:
            self.folder.mkdir(exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                _append(descriptor, lines)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError(f"{path}: the event cannot be written ({error.strerror}); mend it and run again") from None

    def read(self) -> list[dict[str, Any]]:
        """All events that are readable, file by file."""
        return [event for path in self._files() for event in self._events(read_bounded(path, MAX_BYTES))]

    def read_by_process(self) -> dict[str, list[dict[str, Any]]]:
        """The readable events of each process, by its file's name."""
        return {path.stem: self._events(read_bounded(path, MAX_BYTES)) for path in self._files()}

    def rejects_of(self, names: Set[str] | None) -> Counter[str]:
        """Rejects of some cases (None: of all) by reason; an attempt that was repeated after a crash counts once."""
        rejected = {
            (event.get("name"), event.get("seed")): event.get("reasons", [])
            for event in self.read()
            if event["event"] == "rejected" and (names is None or event.get("name") in names)
        }
        return Counter(itertools.chain.from_iterable(rejected.values()))

    def makers_of(self, names: Set[str]) -> set[str]:
        """The processes that stored some cases, as far as the events tell."""
        made = {
            process: {event.get("name") for event in events if event["event"] == "stored"}
            for process, events in self.read_by_process().items()
        }
        return {process for process, stored in made.items() if not names.isdisjoint(stored)}

    def read_new(self) -> list[dict[str, Any]]:
        """The events written since this object's last call."""
        events = []
        for path in self._files():
            start = self._read_until.get(path.name, 0)
            with open(path, "rb") as file:
                file.seek(start)
                content = file.read(MAX_BYTES)
            end = content.rfind(b"\n") + 1  # a line that is being written is left for the next call
            self._read_until[path.name] = start + end
            events += self._events(content[:end])
        return events

    def damaged_lines(self) -> list[tuple[str, int]]:
        """(file, line number from 1) of every line that is not what was written.

        A last line that a killed process left unfinished is none; a whole one with something else in place of its end
        is.
        """
        damaged = []
        for path in self._files():
            *lines, last = read_bounded(path, MAX_BYTES).decode("utf-8", "replace").split("\n")
            damaged += [(path.name, n) for n, line in enumerate(lines, start=1) if parse_sealed_line(line) is None]
            if parse_sealed_line(last[:-1]) is not None:
                damaged.append((path.name, len(lines) + 1))
        return damaged

    def _files(self) -> list[Path]:
        entries = folder_entries(self.folder)
        names = [e.name for e in entries if e.name.endswith(".jsonl") and e.is_file(follow_symlinks=False)]
        return [self.folder / name for name in sorted(names)]

    @staticmethod
    def _events(content: bytes) -> list[dict[str, Any]]:
        lines = content.decode("utf-8", "replace").split("\n")
        events = [parse_sealed_line(line) for line in lines[:-1]]
        return [event for event in events if event is not None and _is_well_formed(event)]


def _is_well_formed(event: Mapping[str, Any]) -> bool:
    """Whether what readers look at has the types that ``EventLog`` writes; a checksum vouches for no content."""
    seed, reasons = event.get("seed"), event.get("reasons", [])
    return (
        isinstance(event.get("event"), str)
        and isinstance(event.get("name"), str | None)
        and isinstance(seed, int | None)
        and isinstance(reasons, list)
        and all(isinstance(reason, str) for reason in reasons)
    )
