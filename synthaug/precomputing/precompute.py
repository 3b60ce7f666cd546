"""The work of one process on a cache that several may be building."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from synthaug.generators.protocol import PairGenerator
from synthaug.precomputing.processes import Share
from synthaug.precomputing.progress import Progress
from synthaug.precomputing.requests import Request, plan_requests
from synthaug.precomputing.summary import PrecomputeSummary, summarise
from synthaug.quality import CheckedPair, QualityConfig, generate_checked_batch
from synthaug.schedules import VolumeSchedule
from synthaug.store import Claims, Store, StoreInfo
from synthaug.store.claims import DEFAULT_EXPIRY_S

POLL_S = 0.2
"""How often a process that has nothing left to begin looks whether the others are done."""


def precompute(
    generator: PairGenerator,
    store: Store,
    *,
    num: int,
    schedule: VolumeSchedule,
    seed: int = 0,
    quality: QualityConfig | None = None,
    options: Mapping[str, Any] | None = None,
    extrapolate: bool = False,
    share: Share | None = None,
    batch_size: int = 1,
    claim_expiry_s: float = DEFAULT_EXPIRY_S,
    on_progress: Callable[[Progress], None] | None = None,
) -> PrecomputeSummary:
    """Make the requested cases that the store lacks.

    Any number of processes may do so at once, on any number of machines that share the folder; they may be killed and
    started again. Each begins with its share, then takes what is missing, and returns when every request is settled.

    Args:
        generator: makes the pairs; its fingerprint must be the store's.
        store: where they go.
        num: number of requests.
        schedule: of the target volumes in mL.
        seed: of the whole run; see ``plan_requests``.
        quality: limits and number of attempts.
        options: the generator's options, part of the cases' names.
        extrapolate: allow targets outside the generator's bounds.
        share: this process among the others; None: the only one.
        batch_size: how many cases are generated together.
        claim_expiry_s: after this time without a sign of life, a case claimed on another machine is taken over.
        on_progress: called in between with how far all processes are.

    Returns:
        The state of the requested cases.

    Raises:
        StoreError: the store was made with other weights, or cannot be written.
        BoundsError: a target is outside the generator's bounds; nothing has been written then.
    """
    quality = quality or QualityConfig()
    store.info.require(StoreInfo.of(generator), store.folder)
    requests = plan_requests(
        generator, schedule, num=num, seed=seed, quality=quality, options=options, extrapolate=extrapolate
    )
    run = _Run(generator, store, requests, quality, share or Share(), max(1, batch_size), on_progress)
    store.events.write(
        "started", num=num, seed=seed, schedule=schedule.to_dict(), options=dict(options or {}), process=run.share.index
    )
    claims = store.claims(claim_expiry_s)
    with claims.kept_alive():
        run.work(claims)
    store.clean()
    summary = summarise(
        store,
        requests,
        stored_before=run.stored_before,
        made_here=run.made_here,
        seconds=time.monotonic() - run.began,
        attempts=quality.max_attempts,
        remade=run.remade,
    )
    store.events.write("finished", made=run.made_here, rejects=dict(run.rejects), seconds=summary.seconds)
    return summary


class _Run:
    """The state of ``precompute``."""

    def __init__(
        self,
        generator: PairGenerator,
        store: Store,
        requests: Sequence[Request],
        quality: QualityConfig,
        share: Share,
        batch_size: int,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.generator, self.store, self.requests, self.quality = generator, store, requests, quality
        self.share, self.batch_size, self.on_progress = share, batch_size, on_progress
        self.began = time.monotonic()
        self.rejects: Counter[str] = Counter()
        self.rejected = 0
        self.made_here = 0
        self._look_again_at = 0.0
        self.remade: list[str] = []
        self._names = {request.name for request in requests}
        present = self._names.intersection(store.names())
        self._whole = {name for name in present if store.is_whole(name)}
        self._damaged = present - self._whole
        self.stored_before = len(self._whole)
        self._given_up = sum(self._is_given_up(request) for request in requests)
        self._settled_before = self.stored_before + self._given_up

    def work(self, claims: Claims) -> None:
        """Until every request is settled."""
        pending = [self.requests[i] for i in self.share.order(len(self.requests))]
        pause = threading.Event()
        while True:
            settled_here = self._pass(pending, claims)
            pending = [request for request in pending if not self._is_settled(request)]
            self._report(last=not pending)
            if not pending:
                return
            if not settled_here:  # others work on the rest; should one be lost, its claim expires
                pause.wait(POLL_S)

    def _pass(self, pending: Sequence[Request], claims: Claims) -> int:
        """Begin everything that nobody else has claimed; returns how many requests were settled."""
        batch: list[Request] = []
        settled = 0
        for request in pending:
            if self._is_settled(request) or not claims.take(request.name):
                continue
            if self._is_settled(request):  # finished by another process between the two looks
                claims.release(request.name)
                continue
            if self.store.remove_damaged(request.name):
                self.remade.append(request.name)
            batch.append(request)
            if len(batch) == self.batch_size:
                settled += self._make(batch, claims)
                batch = []
        return settled + (self._make(batch, claims) if batch else 0)

    def _make(self, batch: Sequence[Request], claims: Claims) -> int:
        outcomes = generate_checked_batch(
            self.generator, [r.condition for r in batch], [r.seed for r in batch], self.quality
        )
        for request, outcome in zip(batch, outcomes, strict=True):
            self._keep(request, outcome)
            claims.release(request.name)
        self._report()
        return len(batch)

    def _keep(self, request: Request, outcome: CheckedPair) -> None:
        for seed, report in outcome.rejected:
            self.store.events.write(
                "rejected", name=request.name, seed=seed, reasons=list(report.reasons), details=dict(report.details)
            )
        self.rejects.update(outcome.rejects)
        self.rejected += len(outcome.rejected)
        if outcome.pair is None:
            facts = {"attempts": outcome.attempts, "rejects": dict(outcome.rejects), "request": request.to_dict()}
            self.store.give_up(request.name, facts)
            self._given_up += 1
        elif self.store.add(
            request.name, outcome.pair, outcome.report, request=request.to_dict(), attempts=outcome.attempts
        ):
            self.made_here += 1

    def _is_settled(self, request: Request) -> bool:
        return self._is_stored(request.name) or self._is_given_up(request)

    def _is_stored(self, name: str) -> bool:
        """Whether a case is there with files of the right sizes, each looked at until it is."""
        if name not in self._whole and self.store.is_whole(name):
            self._whole.add(name)
            self._damaged.discard(name)
        return name in self._whole

    def _is_given_up(self, request: Request) -> bool:
        facts = self.store.given_up(request.name)
        return facts is not None and facts.get("attempts", 0) >= self.quality.max_attempts

    def _report(self, *, last: bool = False) -> None:
        """Tell how far all processes are; looking at a folder of many cases is rationed to a hundredth of the time."""
        if self.on_progress is None or (not last and time.monotonic() < self._look_again_at):
            return
        looked_at = time.monotonic()
        present = self._names.intersection(self.store.names()) - self._damaged
        settled = len(self.requests) if last else len(present) + self._given_up
        now = time.monotonic()
        self._look_again_at = now + max(0.5, 100 * (now - looked_at))
        elapsed = now - self.began
        self.on_progress(Progress(len(self.requests), settled, elapsed, self._settled_before, self.rejected))
