"""Requests for which no attempt gave a pair that passes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthaug.files.atomic import replace_file
from synthaug.store.cache_file import read_bounded
from synthaug.store.case import check_name
from synthaug.store.events import parse_sealed_line, sealed_line
from synthaug.store.layout import MAX_PROVENANCE_BYTES


class GivenUp:
    """One small sealed file for each request, so that no process tries it again with the same limits.

    Args:
        folder: of these files; made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, name: str, facts: Mapping[str, Any]) -> None:
        """Remember a request.

        Raises:
            OSError: the disk refuses.
        """
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)
        replace_file(path, (sealed_line(facts) + "\n").encode())

    def facts(self, name: str) -> dict[str, Any] | None:
        """What was noted of a request; None where nothing was, or where it is damaged: it is tried again then.

        Raises:
            StoreError: a symbolic link or an oversized file stands in its place.
        """
        try:
            content = read_bounded(self._path(name), MAX_PROVENANCE_BYTES)
        except FileNotFoundError:
            return None
        return parse_sealed_line(content.decode("utf-8", "replace").removesuffix("\n"))

    def forget(self, name: str) -> None:
        """Its case was made after all."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{check_name(name)}.json"
