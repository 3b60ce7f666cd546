"""What came of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthaug.precomputing.requests import Request
from synthaug.store import Store


@dataclass(frozen=True)
class PrecomputeSummary:
    """The state of the requested cases after a run.

    Attributes:
        requested: how many were asked for.
        stored_before: how many of them the store had when the run began.
        stored: how many it has now.
        made_here: how many this process made.
        given_up: names of requests for which no attempt passed.
        rejects: attempts that failed, by reason, over all processes and runs that worked on these requests.
        seconds: of this run.
        remade: names of damaged cases that this process removed to make them anew.
        processes: how many made the cases, over all runs.
        batch_size: how many cases this process generated together at its end.
    """

    requested: int
    stored_before: int
    stored: int
    made_here: int
    given_up: tuple[str, ...]
    rejects: Counter[str]
    seconds: float
    remade: tuple[str, ...] = ()
    processes: int = 1
    batch_size: int = 1

    @property
    def cases_per_hour(self) -> float | None:
        """Of this run, over all processes; None where nothing was made."""
        made = self.stored - self.stored_before
        return made * 3600 / self.seconds if made > 0 and self.seconds > 0 else None

    @property
    def complete(self) -> bool:
        """Whether every requested case is stored."""
        return self.stored == self.requested

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "requested": self.requested,
            "stored": self.stored,
            "stored_before": self.stored_before,
            "made_here": self.made_here,
            "given_up": list(self.given_up),
            "rejects": dict(self.rejects),
            "seconds": self.seconds,
            "remade": list(self.remade),
            "processes": self.processes,
            "batch_size": self.batch_size,
            "cases_per_hour": self.cases_per_hour,
            "complete": self.complete,
        }

    def __str__(self) -> str:
        made = self.stored - self.stored_before
        pace = f", {self.cases_per_hour:.0f} per hour" if self.cases_per_hour is not None else ""
        lines = [
            f"{self.stored} of {self.requested} requested cases are in the cache "
            f"({made} new, {self.made_here} by this process, {self.seconds:.1f} s{pace})"
        ]
        if self.remade:
            more = ", ..." if len(self.remade) > 3 else ""
            lines.append(
                f"{len(self.remade)} case(s) with missing or truncated files were removed to be made anew "
                f"({', '.join(self.remade[:3])}{more})"
            )
        if self.rejects:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self.rejects.most_common())
            lines.append(f"rejected attempts: {reasons}")
        if self.given_up:
            lines.append(
                f"{len(self.given_up)} request(s) found no pair that passes ({', '.join(self.given_up[:3])}"
                f"{', ...' if len(self.given_up) > 3 else ''}); events/ in the cache tells why for each attempt, "
                "--attempts and --volume-tolerance allow more"
            )
        return "\n".join(lines)


def summarise(
    store: Store,
    requests: Sequence[Request],
    *,
    stored_before: int,
    made_here: int,
    seconds: float,
    attempts: int,
    remade: Sequence[str] = (),
    batch_size: int = 1,
) -> PrecomputeSummary:
    """Look at the store and say how it stands with the requests."""
    names = {request.name for request in requests}
    stored = names.intersection(store.names())
    given_up = sorted(
        name for name in names - stored if (facts := store.given_up(name)) and facts.get("attempts", 0) >= attempts
    )
    return PrecomputeSummary(
        len(names),
        stored_before,
        len(stored),
        made_here,
        tuple(given_up),
        store.events.rejects_of(names),
        seconds,
        tuple(remade),
        len(store.events.makers_of(stored)),
        batch_size,
    )
