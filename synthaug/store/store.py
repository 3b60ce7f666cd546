"""A folder of generated cases, which any number of processes may add to and read at once."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import StoreError
from synthaug.files.atomic import (
    folder_entries,
    publish_folder,
    remove_folder,
    sync_folder,
    temporary_name,
    write_synced,
)
from synthaug.quality import QualityReport
from synthaug.store import layout
from synthaug.store.arrays import decode, digest
from synthaug.store.cache_file import read_bounded
from synthaug.store.case import (
    IMAGE_FILE,
    LABEL_FILE,
    MARKER_FILE,
    PROVENANCE_FILE,
    CaseEntry,
    Problem,
    check_name,
)
from synthaug.store.case_files import case_files
from synthaug.store.claims import DEFAULT_EXPIRY_S, Claims
from synthaug.store.events import EventLog
from synthaug.store.given_up import GivenUp
from synthaug.store.info import INFO_FILE, StoreInfo
from synthaug.store.record import parse_record
from synthaug.volumes import LabeledVolume

MAX_ARRAY_FILE_BYTES = 8 << 30
WORTH_INDEXING = 256
"""Cases without an event, as after a restoration without the event files, from which on they get one each."""


class Store:
    """The cache: ``cache.json``, ``cases/NAME/{image.b2nd,label.b2nd,provenance.json,done}``, ``events/``, ``claims/``.

    A case is written into a hidden folder beside its place, marker last, everything synced, and appears by one rename:
    it is there completely or not at all. The marker holds the digest of the provenance, the provenance the digests of
    the arrays. Nothing that is there is ever changed. Folders may be moved: no path is written into
    them, of a generator's folder its name alone.

    Use ``create``, ``open`` or ``open_or_create``. Objects are small and can be pickled; each keeps the entries that
    it has read.

    Args:
        folder: of the cache.
        info: what ``cache.json`` in it says of the generator.
    """

    def __init__(self, folder: Path, info: StoreInfo) -> None:
        self.folder = folder
        self.info = info
        self.events = EventLog(folder / "events")
        self._given_up = GivenUp(folder / "given-up")
        self._entries: dict[str, CaseEntry] = {}

    @classmethod
    def create(cls, folder: Path | str, info: StoreInfo) -> Store:
        """Make an empty store.

        Args:
            folder: a new or empty folder.
            info: ``StoreInfo.of(generator)``.

        Raises:
            StoreError: the folder is a cache already, holds other files, or cannot be written.
        """
        folder = Path(folder)
        layout.prepare_folder(folder)
        if not info.create(folder):
            raise StoreError(f"{folder}: is a cache already; open it, or give another folder")
        return cls(folder, info)

    @classmethod
    def open(cls, folder: Path | str) -> Store:
        """Open a store; only its head is read.

        Raises:
            StoreError: not a store, damaged, or of a newer format.
        """
        folder = Path(folder)
        info = StoreInfo.read(folder)
        layout.refuse_misplaced(folder)
        return cls(folder, info)

    @classmethod
    def open_or_create(cls, folder: Path | str, info: StoreInfo) -> Store:
        """Open the store that ``info`` can be added to, or make it; several processes may call this at once.

        Raises:
            StoreError: it was made with other weights, another scheme or other channels, or is not a store.
        """
        folder = Path(folder)
        if not (folder / INFO_FILE).exists():
            layout.prepare_folder(folder)
            info.create(folder)
        store = cls.open(folder)
        store.info.require(info, folder)
        return store

    @classmethod
    def open_or_create_like(cls, folder: Path | str, info: StoreInfo) -> Store:
        """Open the store in a folder, whatever it was made with, or make one with a head; for ``merge``."""
        folder = Path(folder)
        return cls.open(folder) if (folder / INFO_FILE).exists() else cls.create(folder, info)

    def claims(self, expiry_s: float = DEFAULT_EXPIRY_S) -> Claims:
        """The claims on cases that are being made."""
        return Claims(self.folder / "claims", expiry_s)

    # ------------------------------------------------------------------ writing

    def add(
        self,
        name: str,
        pair: LabeledVolume,
        report: QualityReport | None = None,
        *,
        request: Mapping[str, Any] | None = None,
        attempts: int = 1,
    ) -> bool:
        """Store a pair under a name.

        Args:
            name: from ``case_name``.
            pair: with ``generator_sha256``, ``seed`` and ``requested_ml`` in its provenance.
            report: the verdict of quality control.
            request: what was asked for, for the record.
            attempts: how many pairs were generated until this one passed.

        Returns:
            True if this call stored it, False if the case was there already (another process was faster).

        Raises:
            StoreError: the pair is from another generator or scheme, did not pass, or the disk refuses.
        """
        check_name(name)
        self._refuse_foreign(name, pair, report)
        if name in self:
            return False
        entry = CaseEntry(
            name,
            pair.volumes_ml(),
            dict(pair.provenance.get("requested_ml", {})),
            int(pair.provenance.get("seed", -1)),
            attempts,
        )
        try:
            stored = self._publish(name, case_files(entry, pair, report, request))
        except OSError as error:
            raise StoreError(
                f"{self.folder}: case {name} cannot be written ({error.strerror or error}); free space or mend the "
                "permissions and run again: what is stored is intact"
            ) from None
        if stored:
            self._entries[name] = entry
            self._given_up.forget(name)
            self.events.write("stored", **entry.to_dict(), seconds=pair.provenance.get("seconds"))
        return stored

    def _refuse_foreign(self, name: str, pair: LabeledVolume, report: QualityReport | None) -> None:
        made_by = StoreInfo(
            pair.scheme,
            tuple(pair.channels),
            str(pair.provenance.get("generator", "an unnamed generator")),
            str(pair.provenance.get("generator_sha256", "none")),
        )
        self.info.require(made_by, self.folder)
        if report is not None and not report.passed:
            raise StoreError(
                f"case {name} did not pass quality control ({', '.join(report.reasons)}); it is not stored"
            )

    def _publish(self, name: str, files: Mapping[str, bytes]) -> bool:
        cases = self.folder / "cases"
        cases.mkdir(exist_ok=True)
        temporary = cases / temporary_name(name)
        temporary.mkdir()
        try:
            for file, content in files.items():  # the marker is the last
                write_synced(temporary / file, content)
            sync_folder(temporary)
            self._remove_incomplete(name)
            if publish_folder(temporary, cases / name):
                return True
        except FileNotFoundError:
            if name not in self:  # a cleaner removes our folder only where the case is stored already
                raise
        except BaseException:
            remove_folder(temporary)
            raise
        remove_folder(temporary)
        return False

    def _remove_incomplete(self, name: str) -> None:
        """Make room where a folder without a marker stands: a damaged copy, since cases appear with their marker."""
        if name not in self and not (final := self.folder / "cases" / name).is_symlink():
            layout.remove_case(final)

    def is_whole(self, name: str) -> bool:
        """Whether a case is there with files of the right sizes; see ``verify`` for a look at every byte.

        Raises:
            StoreError: a symbolic link or an oversized file stands in its place.
        """
        return name in self and layout.is_whole(self.folder / "cases" / check_name(name))

    def remove(self, name: str) -> None:
        """Take a case out, by one rename; ``verify`` does not miss it.

        Raises:
            StoreError: a symbolic link stands in its place, or the event cannot be written.
            OSError: the disk refuses.
        """
        layout.refuse_linked_case(self.folder / "cases" / check_name(name))
        self._entries.pop(name, None)
        self.events.write("removed", name=name)
        layout.remove_case(self.folder / "cases" / name)

    def remove_damaged(self, name: str) -> bool:
        """Make room where a case is not whole, for whoever has the claim on it; True where one was removed."""
        damaged = name in self and not self.is_whole(name)
        if damaged:
            layout.remove_case(self.folder / "cases" / name)
        return damaged

    def give_up(self, name: str, facts: Mapping[str, Any]) -> None:
        """Record that a request found no pair that passes, so that no process tries it again with the same limits."""
        self._given_up.note(name, facts)
        self.events.write("given-up", name=name, **facts)

    def given_up(self, name: str) -> dict[str, Any] | None:
        """What ``give_up`` recorded for a name, or None."""
        return self._given_up.facts(name)

    # ------------------------------------------------------------------ reading

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (self.folder / "cases" / name / MARKER_FILE).is_file()

    def __len__(self) -> int:
        return len(self.names())

    def names(self) -> list[str]:
        """The complete cases at this moment, sorted."""
        cases = self.folder / "cases"
        return sorted(
            entry.name
            for entry in folder_entries(cases)
            if not entry.name.startswith(".") and os.path.exists(os.path.join(entry.path, MARKER_FILE))
        )

    def entries(self) -> list[CaseEntry]:
        """One entry per case, sorted by name; each case is read once in the life of this object.

        The event files are the index: they hold the entries of thousands of cases in a few files. A case that they
        miss costs a look into its provenance; many such cases are noted down for whoever opens the store next.
        """
        names = self.names()
        if any(name not in self._entries for name in names):
            for event in self.events.read_new():
                if event["event"] in ("stored", "indexed"):
                    entry = CaseEntry.from_dict(event)
                    self._entries[entry.name] = entry
        missing = [name for name in names if name not in self._entries]
        for name in missing:
            self._entries[name] = CaseEntry.from_dict(self.provenance(name))
        if len(missing) >= WORTH_INDEXING:
            with contextlib.suppress(StoreError):  # a store that cannot be written to is read all the same
                self.events.write_all("indexed", [self._entries[name].to_dict() for name in missing])
        return [self._entries[name] for name in names]

    def provenance(self, name: str) -> dict[str, Any]:
        """The record of a case: entry, affine, file digests, quality report, request, the generator's own provenance.

        Raises:
            StoreError: no such case, or the record does not match the marker.
        """
        folder = self.folder / "cases" / check_name(name)
        layout.refuse_linked_case(folder)
        try:
            marker = read_bounded(folder / MARKER_FILE, layout.MAX_MARKER_BYTES)
            content = read_bounded(folder / PROVENANCE_FILE, layout.MAX_PROVENANCE_BYTES)
        except FileNotFoundError:
            if name in self:
                raise StoreError(
                    f"case {name}: {PROVENANCE_FILE} is missing; remove {folder} and run `synthaug precompute` again"
                ) from None
            raise StoreError(
                f"{self.folder}: has no complete case {name}; `synthaug cache info` tells what it has"
            ) from None
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot be read ({error.strerror}); check the disk and the permissions"
            ) from None
        if marker != (digest(content) + "\n").encode():
            raise StoreError(
                f"case {name}: {PROVENANCE_FILE} and {MARKER_FILE} do not match, a byte is wrong; "
                f"remove {folder} and run `synthaug precompute` again"
            )
        described = parse_record(content, f"case {name}")
        if described["name"] != name:
            raise StoreError(f"case {name}: is a renamed copy of {described['name']}; remove {folder}")
        return described

    def read(self, name: str) -> LabeledVolume:
        """The pair of a case; its arrays are checked against their digests.

        Returns:
            image float32 (C, X, Y, Z), label int16 (X, Y, Z), affine in RAS+ mm; the provenance is the generator's own.

        Raises:
            StoreError: no such case, or a byte of it is wrong.
        """
        described = self.provenance(name)
        return LabeledVolume(
            self._array(name, described, IMAGE_FILE),
            self._array(name, described, LABEL_FILE),
            np.asarray(described["affine"], np.float64),
            self.info.scheme,
            tuple(described["channels"]),
            dict(described["pair"]),
        )

    def read_label(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Label map int16 (X, Y, Z) and affine of a case, without its image."""
        described = self.provenance(name)
        return self._array(name, described, LABEL_FILE), np.asarray(described["affine"], np.float64)

    def array_file(self, name: str, file: str, described: Mapping[str, Any]) -> bytes:
        """The content of an array file of a case, checked against its digest.

        Raises:
            StoreError: missing, truncated, or a byte is wrong.
        """
        path = self.folder / "cases" / name / file
        mend = f"remove {path.parent} and run `synthaug precompute` again"
        expected = described["files"][file]
        try:
            content = read_bounded(path, min(int(expected["bytes"]), MAX_ARRAY_FILE_BYTES))
        except FileNotFoundError:
            raise StoreError(f"case {name}: {file} is missing; {mend}") from None
        except OSError as error:
            raise StoreError(f"case {name}: {file} cannot be read ({error.strerror}); check the disk") from None
        if len(content) != expected["bytes"]:
            raise StoreError(f"case {name}: {file} has {len(content)} of {expected['bytes']} bytes; {mend}")
        if digest(content) != expected["sha256"]:
            raise StoreError(f"case {name}: {file} does not match its sha256, a byte is wrong; {mend}")
        return content

    def _array(self, name: str, described: Mapping[str, Any], file: str) -> np.ndarray:
        expected = described["files"][file]
        content = self.array_file(name, file, described)
        return decode(content, tuple(expected["shape"]), expected["dtype"], f"case {name}: {file}")

    # ------------------------------------------------------------------ looking after

    @property
    def rejects(self) -> Counter[str]:
        """How often each reason led to a reject, over all processes and runs."""
        return self.events.rejects_of(None)

    def clean(self) -> int:
        """Remove what dead processes left (temporary folders and files, void claims); returns how many."""
        leftovers = self.leftovers()
        for path in leftovers:
            if path.is_dir() and not path.is_symlink():
                remove_folder(path)
            else:
                path.unlink(missing_ok=True)
        return len(leftovers)

    def leftovers(self) -> list[Path]:
        """What no living process needs: see ``clean``."""
        return [*self.claims().leftovers(), *layout.leftovers(self.folder, set(self.names()))]

    def verify(self) -> list[Problem]:
        """Everything that is wrong with the store; an empty list where nothing is."""
        from synthaug.store.verification import verify

        return verify(self)
