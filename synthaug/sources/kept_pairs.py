"""Pairs that stay in memory after they were read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from synthaug.errors import ConfigurationError
from synthaug.volumes import LabeledVolume

GIGABYTE = 1 << 30


class KeptPairs:
    """The pairs that were read last, up to so much memory; every process, a loader's worker too, keeps its own.

    Args:
        read: gives a pair by its name.
        gigabytes: that the arrays of all kept pairs may have; 0 keeps none.

    Raises:
        ConfigurationError: gigabytes below 0.
    """

    def __init__(self, read: Callable[[str], LabeledVolume], gigabytes: float) -> None:
        if not gigabytes >= 0:
            raise ConfigurationError(f"keep_gb is {gigabytes!r}; it must be 0 (keep none) or above")
        self._read = read
        self._limit = gigabytes * GIGABYTE
        self._pairs: OrderedDict[str, LabeledVolume] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def read(self, name: str) -> LabeledVolume:
        """A pair; the arrays of one that is kept cannot be written to, since the next draw gets the same ones."""
        with self._lock:
            kept = self._pairs.get(name)
            if kept is not None:
                self._pairs.move_to_end(name)
                return kept
        pair = self._read(name)  # several threads may read at once
        with self._lock:
            self._keep(name, pair)
        return pair

    def _keep(self, name: str, pair: LabeledVolume) -> None:
        size = _size_of(pair)
        if size > self._limit or name in self._pairs:
            return
        pair.image.setflags(write=False)
        pair.label.setflags(write=False)
        self._pairs[name] = pair
        self._held += size
        while self._held > self._limit:
            _, oldest = self._pairs.popitem(last=False)
            self._held -= _size_of(oldest)

    def __getstate__(self) -> dict[str, Any]:
        """Without the pairs: a spawned worker reads its own."""
        return {**self.__dict__, "_pairs": OrderedDict(), "_held": 0, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def _size_of(pair: LabeledVolume) -> int:
    return pair.image.nbytes + pair.label.nbytes
