"""The work of one process on a cache that several may be building."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthaug.errors import SynthAugError
from synthaug.generators.protocol import PairGenerator
from synthaug.generators.recipe import unrecorded_recipe
from synthaug.precomputing.background import Background
from synthaug.precomputing.batch_size import BatchSize
from synthaug.precomputing.device_memory import give_back_memory, is_out_of_memory, memory_of
from synthaug.precomputing.processes import Share
from synthaug.precomputing.progress import Progress
from synthaug.precomputing.requests import Request, plan_requests
from synthaug.precomputing.summary import PrecomputeSummary, summarise
from synthaug.precomputing.watch import Watch
from synthaug.quality import QualityConfig, QualityReport, attempt_seed, judge, limits_for, make_pairs
from synthaug.schedules import VolumeSchedule
from synthaug.store import Claims, Store, StoreInfo
from synthaug.store.claims import DEFAULT_EXPIRY_S
from synthaug.volumes import LabeledVolume

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
    batch_size: int | None = 1,
    claim_expiry_s: float = DEFAULT_EXPIRY_S,
    on_progress: Callable[[Progress], None] | None = None,
    on_stored: Callable[[str, LabeledVolume], None] | None = None,
    announce: Callable[[str], None] | None = None,
    overlap: bool = True,
) -> PrecomputeSummary:
    """Make the requested cases that the store lacks.

    Any number of processes may do so at once, on any number of machines that share the folder; they may be killed and
    started again. Each begins with its share, then takes what is missing, and returns when every request is settled.

    While the generator makes the next cases, a thread judges and writes those before.

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
        batch_size: how many cases are generated together, halved for good where they do not fit into memory; None: by
            the free memory of a GPU, one on other devices.
        claim_expiry_s: after this time without a sign of life, a case claimed on another machine is taken over.
        on_progress: called in between with how far all processes are.
        on_stored: called beside the generator with each case that this process has stored, to bring it into the form
            of a training; until then its claim is held, and no process returns before it is given back.
        announce: told what a user should know.
        overlap: off: cases are judged and written by the caller's thread, between two batches.

    Returns:
        The state of the requested cases.

    Raises:
        StoreError: the store was made with other weights, or cannot be written.
        BoundsError: a target is outside the generator's bounds; nothing has been written then.
        SynthAugError: a single case does not fit into memory.
    """
    quality = quality or QualityConfig()
    store.info.require(StoreInfo.of(generator), store.folder)
    requests = plan_requests(
        generator, schedule, num=num, seed=seed, quality=quality, options=options, extrapolate=extrapolate
    )
    share = share or Share()
    claims = store.claims(claim_expiry_s)
    batches = BatchSize(batch_size, memory_of(share.device))
    run = _Run(
        generator=generator,
        store=store,
        requests=requests,
        quality=quality,
        share=share,
        batches=batches,
        claims=claims,
        on_progress=on_progress,
        on_stored=on_stored,
        announce=announce,
        overlap=overlap,
    )
    store.events.write(
        "started", num=num, seed=seed, schedule=schedule.to_dict(), options=dict(options or {}), process=run.share.index
    )
    with claims.kept_alive():
        run.work()
    claims.discard(run.names.intersection(store.names()))
    store.clean()
    summary = summarise(
        store,
        requests,
        stored_before=run.stored_before,
        made_here=run.made_here,
        seconds=time.monotonic() - run.began,
        attempts=quality.max_attempts,
        remade=run.remade,
        batch_size=batches.size,
    )
    store.events.write("finished", made=run.made_here, rejects=dict(run.rejects), seconds=summary.seconds)
    return summary


@dataclass
class _Attempt:
    """A request on its way: claimed by this process, and tried so many times.

    Attributes:
        request: what is asked for.
        rejected: how many attempts failed.
        rejects: for which reasons.
        made: the pair of this attempt, or the report that says why there is none.
        recipe: what the pair's own provenance does not tell of how it was made.
    """

    request: Request
    rejected: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    made: LabeledVolume | QualityReport | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return attempt_seed(self.request.seed, self.rejected)


class _Run:
    """The state of ``precompute``."""

    def __init__(
        self,
        *,
        generator: PairGenerator,
        store: Store,
        requests: Sequence[Request],
        quality: QualityConfig,
        share: Share,
        batches: BatchSize,
        claims: Claims,
        on_progress: Callable[[Progress], None] | None,
        on_stored: Callable[[str, LabeledVolume], None] | None,
        announce: Callable[[str], None] | None,
        overlap: bool,
    ) -> None:
        self.generator, self.store, self.requests, self.quality = generator, store, requests, quality
        self.limits = limits_for(generator, quality)
        self.share, self.batches, self.claims = share, batches, claims
        self.on_progress, self.on_stored, self.announce = on_progress, on_stored, announce
        self.began = time.monotonic()
        self.rejects: Counter[str] = Counter()
        self.made_here = 0
        self.remade: list[str] = []
        self.names = frozenset(request.name for request in requests)
        present = self.names.intersection(store.names())
        self._whole = {name for name in present if store.is_whole(name)}
        self.stored_before = len(self._whole)
        given_up = {request.name for request in requests if self._is_given_up(request)}
        self._watch = Watch(store, self.names, self._whole | given_up, claims) if on_progress is not None else None
        self._again: deque[_Attempt] = deque()
        self._finishing = Background(self._finish, overlap=overlap)

    # ------------------------------------------------------------------ the main flow

    def work(self) -> None:
        """Until every request is settled."""
        pending = [self.requests[i] for i in self.share.order(len(self.requests))]
        pause = threading.Event()
        try:
            with self._finishing:
                while pending:
                    began = self._work_through(pending)
                    pending = [request for request in pending if not self._is_done(request)]
                    self._report(waiting=len(pending))
                    if pending and not began:  # others work on the rest; should one be lost, its claim becomes void
                        pause.wait(POLL_S)
        except MemoryError:
            raise SynthAugError(
                f"{self.store.folder}: the main memory is used up where cases are judged and written; end what else "
                "uses it, start fewer processes, or give a smaller --batch-size; what is stored is intact"
            ) from None
        self._report(last=True)

    def _work_through(self, pending: Sequence[Request]) -> bool:
        """Make everything that nobody else has claimed; returns whether there was anything."""
        unclaimed = self._claimed_one_by_one(pending)
        began = False
        while True:
            batch = self._next_batch(unclaimed, len(pending))
            if batch:
                began = True
                self._finishing.put(self._generate(batch))
                self._report()
            elif self._finishing.is_idle():
                if not self._again:
                    return began
            else:
                self._finishing.wait()  # what is judged now may have to be tried again

    def _next_batch(self, unclaimed: Iterator[Request], pending: int) -> list[_Attempt]:
        """What was rejected, then what nobody has claimed: as much as fits, at the end no more than a fair part."""
        size = min(self.batches.size, max(1, pending // self.share.count))
        batch = [self._again.popleft() for _ in range(min(size, len(self._again)))]
        for request in unclaimed if len(batch) < size else ():
            batch.append(_Attempt(request))
            if len(batch) == size:
                break
        return batch

    def _claimed_one_by_one(self, pending: Sequence[Request]) -> Iterator[Request]:
        for request in pending:
            if self._is_settled(request) or not self.claims.take(request.name):
                continue
            if self._is_settled(request):  # finished by another process between the two looks
                self.claims.release(request.name)
                continue
            if self.store.remove_damaged(request.name):
                self.remade.append(request.name)
            yield request

    def _generate(self, batch: Sequence[_Attempt]) -> list[_Attempt]:
        """The attempts with what was made for them; in smaller parts where they do not fit into memory."""
        done = 0
        alone_again = False
        while done < len(batch):
            part = batch[done : done + min(self.batches.size, len(batch))]
            self.batches.begin()
            if self._fits(part):
                self.batches.finished(len(part))
                done += len(part)
                alone_again = False
                continue
            if len(part) == 1 and alone_again:
                raise SynthAugError(
                    f"{self.generator.name}: a single case does not fit into the memory of {self.share.device}; end "
                    "what else uses it, start fewer processes on it, or give another --device"
                )
            alone_again = len(part) == 1
            self._make_room(len(part))
        return list(batch)

    def _fits(self, part: Sequence[_Attempt]) -> bool:
        try:
            made = make_pairs(
                self.generator, [one.request.condition for one in part], [one.seed for one in part], self.limits
            )
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return False  # the error holds what was made until this function is left
        for one, pair in zip(part, made, strict=True):
            one.made = pair
            if isinstance(pair, LabeledVolume):  # here, since another thread may have other settings
                one.recipe = unrecorded_recipe(self.generator, pair)
        return True

    def _make_room(self, cases: int) -> None:
        """After memory was used up: wait for what the finished cases take, and go on with half of the batch."""
        while not self._finishing.is_idle():
            self._finishing.wait()
        give_back_memory()
        if cases == 1:
            return
        told = self.batches.halved
        self.batches.halve(cases)
        self.store.events.write("out-of-memory", cases=cases, batch_size=self.batches.size)
        if self.announce is not None and not told:
            self.announce(
                f"synthaug: {cases} cases at once do not fit into the memory of {self.share.device}; going on with "
                f"{self.batches.size} (the cases do not depend on it)"
            )

    # ------------------------------------------------------------------ beside it

    def _finish(self, attempt: _Attempt) -> None:
        """Judge what was made, then store it, have it tried again, or give it up."""
        request, made = attempt.request, attempt.made
        assert made is not None
        attempt.made = None
        report = judge(made, request.condition, self.limits)
        if isinstance(made, LabeledVolume) and report.passed:
            self._keep(attempt, made, report)
        else:
            self.store.events.write(
                "rejected",
                name=request.name,
                seed=attempt.seed,
                reasons=list(report.reasons),
                details=dict(report.details),
            )
            self.rejects.update(report.reasons)
            attempt.rejects.update(report.reasons)
            attempt.rejected += 1
            if attempt.rejected < self.limits.max_attempts:
                self._again.append(attempt)
                return
            facts = {"attempts": attempt.rejected, "rejects": dict(attempt.rejects), "request": request.to_dict()}
            self.store.give_up(request.name, facts)
        self.claims.release(request.name)

    def _keep(self, attempt: _Attempt, pair: LabeledVolume, report: QualityReport) -> None:
        request = attempt.request
        recorded = {**request.to_dict(), **attempt.recipe}
        if self.store.add(request.name, pair, report, request=recorded, attempts=attempt.rejected + 1):
            self.made_here += 1
            if self.on_stored is not None:
                self.on_stored(request.name, pair)

    # ------------------------------------------------------------------ looking

    def _is_done(self, request: Request) -> bool:
        """Whether a request is settled, and nobody is bringing its case into the form of a training."""
        return self._is_settled(request) and (self.on_stored is None or not self.claims.holds(request.name))

    def _is_settled(self, request: Request) -> bool:
        return self._is_stored(request.name) or self._is_given_up(request)

    def _is_stored(self, name: str) -> bool:
        """Whether a case is there with files of the right sizes, each looked at until it is."""
        if name not in self._whole and self.store.is_whole(name):
            self._whole.add(name)
        return name in self._whole

    def _is_given_up(self, request: Request) -> bool:
        facts = self.store.given_up(request.name)
        return facts is not None and facts.get("attempts", 0) >= self.quality.max_attempts

    def _report(self, *, waiting: int = 0, last: bool = False) -> None:
        if self._watch is None or self.on_progress is None:
            return
        moment = self._watch.look(waiting=waiting, last=last)
        if moment is not None:
            self.on_progress(moment)
