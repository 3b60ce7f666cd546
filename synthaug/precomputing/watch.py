"""How far all processes are, from what the cache itself tells."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

from synthaug.precomputing.progress import Progress
from synthaug.store import Claims, Store
from synthaug.store.events import EventLog

LOOK_EVERY_S = 0.5
COUNT_EVERY_S = 30.0
"""The folders are counted so often, and the events in between: they are cheaper to read, but a kill may lose one."""

LARGEST_SHARE = 0.01
"""Of the time of a process that goes into looking."""

PACE_OVER_S = 600.0
"""Seconds over which the pace is taken: processes come and go."""


class Watch:
    """Looks at a cache that any number of processes are filling, this one among them.

    Args:
        store: the cache.
        names: of the cases that are requested.
        settled: those of them that are stored or given up already.
        claims: of this process; told who else is at work.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        names: Collection[str],
        settled: Collection[str],
        claims: Claims,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._names, self._claims, self._clock = store, frozenset(names), claims, clock
        self._events = EventLog(store.events.folder)
        self._settled = set(settled)
        self._rejected: dict[tuple[Any, Any], list[str]] = {}
        self._before = len(self._settled)
        self._began = clock()
        self._moments: deque[tuple[float, int]] = deque([(0.0, self._before)])
        self._look_again_at = self._count_again_at = 0.0
        self._damaged = self._names.intersection(store.names()) - self._settled
        # what was stored before this run may have been removed since: the folders tell
        self._take_in(self._events.read_new(), stored=False)

    def look(self, *, waiting: int = 0, last: bool = False) -> Progress | None:
        """The state of the requested cases; None where the last look was a moment ago.

        Args:
            waiting: cases that others hold while this process has nothing to do.
            last: look whenever the last look was; everything is settled.
        """
        began = self._clock()
        if not last and began < self._look_again_at:
            return None
        self._take_in(self._events.read_new(), stored=True)
        if began >= self._count_again_at and not last:
            self._settled |= self._names.intersection(self._store.names()) - self._damaged
            self._count_again_at = self._clock() + max(COUNT_EVERY_S, (self._clock() - began) / LARGEST_SHARE)
        processes = len(self._claims.owners())
        now = self._clock()
        self._look_again_at = now + max(LOOK_EVERY_S, (now - began) / LARGEST_SHARE)
        seconds, settled = now - self._began, len(self._names) if last else len(self._settled)
        self._moments.append((seconds, settled))
        while len(self._moments) > 2 and self._moments[1][0] < seconds - PACE_OVER_S:
            self._moments.popleft()
        return Progress(
            requested=len(self._names),
            settled=settled,
            seconds=seconds,
            settled_before=self._before,
            rejected=len(self._rejected),
            rejects=Counter(reason for reasons in self._rejected.values() for reason in reasons),
            pace=self._pace(),
            processes=processes,
            waiting=waiting,
        )

    def _pace(self) -> float | None:
        (first, before), (last, now) = self._moments[0], self._moments[-1]
        return (now - before) / (last - first) if now > before and last > first else None

    def _take_in(self, events: Iterable[dict[str, Any]], *, stored: bool) -> None:
        for event in events:
            name, kind = event.get("name"), event["event"]
            if name not in self._names:
                continue
            if kind == "rejected":
                self._rejected[name, event.get("seed")] = list(event.get("reasons", []))
            elif kind in ("stored", "given-up") and stored:
                self._settled.add(name)
