"""The gate in front of the store: a pair that passes, or a counted reject and another seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from synthaug.conditions import Condition
from synthaug.errors import BoundsError, GeometryError, LabelError, SynthAugError
from synthaug.generators.protocol import LabelFirstGenerator, PairGenerator
from synthaug.quality.checks import check_pair
from synthaug.quality.configuration import QualityConfig
from synthaug.quality.report import QualityReport
from synthaug.volumes import LabeledVolume

Made = TypeVar("Made")

INVALID_PAIR = "invalid-pair"
"""Reason of a reject that the generator itself noticed: it could not make a labelled volume of its output."""

OUT_OF_REACH = "out-of-reach"
"""Reason of a reject: the target is within the generator's bounds, and yet this attempt could not come to it."""


@dataclass(frozen=True)
class CheckedPair:
    """The outcome of one request.

    Attributes:
        pair: the pair that passed, or None where every attempt was rejected.
        attempts: how many pairs were generated for it.
        rejects: how often each reason was given (a pair may fail for several).
        report: the report of the last attempt: of ``pair`` where there is one.
        rejected: for each rejected attempt its seed and its report, in order.
    """

    pair: LabeledVolume | None
    attempts: int
    rejects: Counter[str]
    report: QualityReport | None = None
    rejected: tuple[tuple[int, QualityReport], ...] = field(default=())


def attempt_seed(seed: int, attempt: int) -> int:
    """The seed of an attempt: the request's own for the first, so that it is the one to remake the pair with.

    53 bits: every JSON reader keeps them exactly.
    """
    if attempt == 0:
        return int(seed)
    words = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, attempt]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(11))


def limits_for(generator: PairGenerator, config: QualityConfig) -> QualityConfig:
    """The configuration with what the generator itself states about its background and structures filled in."""
    background, required = config.max_nonzero_background, config.required
    if background is None:
        background = float(getattr(generator, "max_nonzero_background", 0.0))
    if required is None and hasattr(generator, "required_structures"):
        required = tuple(generator.required_structures)
    return replace(config, max_nonzero_background=background, required=required)


def generate_checked(
    generator: PairGenerator, condition: Condition, seed: int, config: QualityConfig | None = None
) -> CheckedPair:
    """Generate until a pair passes or the attempts are used up; see ``generate_checked_batch``.

    Args:
        generator: makes the pairs.
        condition: targets in mL.
        seed: of the first attempt.
        config: limits and number of attempts.

    Raises:
        BoundsError: a target outside the generator's declared bounds; nothing has been generated then.
    """
    return generate_checked_batch(generator, [condition], [seed], config)[0]


def generate_checked_batch(
    generator: PairGenerator,
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    config: QualityConfig | None = None,
) -> list[CheckedPair]:
    """Generate a batch; what is rejected is tried again, together, with seeds derived from (seed, attempt).

    Args:
        generator: makes the pairs.
        conditions: one per request, targets in mL.
        seeds: one per request.
        config: limits and number of attempts.

    Returns:
        One outcome per request, in order. The outcome of a request depends on its condition, its seed and the
        configuration, not on the batch it is in, as far as that holds for the generator.

    Raises:
        BoundsError: a target outside the generator's declared bounds; nothing has been generated then.
    """
    for condition in conditions:
        generator.bounds.check(condition)
    limits = limits_for(generator, config or QualityConfig())
    passed: dict[int, tuple[LabeledVolume, QualityReport]] = {}
    rejected: list[list[tuple[int, QualityReport]]] = [[] for _ in conditions]
    for attempt in range(limits.max_attempts):
        open_requests = [i for i in range(len(conditions)) if i not in passed]
        if not open_requests:
            break
        tried = [attempt_seed(seeds[i], attempt) for i in open_requests]
        made = make_pairs(generator, [conditions[i] for i in open_requests], tried, limits)
        for i, seed, pair in zip(open_requests, tried, made, strict=True):
            report = judge(pair, conditions[i], limits)
            if isinstance(pair, LabeledVolume) and report.passed:
                passed[i] = (pair, report)
            else:
                rejected[i].append((seed, report))
    return [_outcome(passed.get(i), rejected[i]) for i in range(len(conditions))]


def make_pairs(
    generator: PairGenerator, conditions: Sequence[Condition], seeds: Sequence[int], limits: QualityConfig
) -> list[LabeledVolume | QualityReport]:
    """One attempt at each request, for ``judge``.

    Args:
        generator: makes the pairs.
        conditions: one per request, within the generator's bounds, targets in mL.
        seeds: one per request, from ``attempt_seed``.
        limits: from ``limits_for``.

    Returns:
        The pairs, in order; in place of one that could not be made, or whose label map was rejected before an image
        was made for it, the report that says why.
    """
    if isinstance(generator, LabelFirstGenerator):
        return _generate_label_first(generator, conditions, seeds, limits)
    return _made(generator.generate, conditions, seeds)


def judge(made: LabeledVolume | QualityReport, condition: Condition, limits: QualityConfig) -> QualityReport:
    """The report on what ``make_pairs`` returned for a condition; needs no generator, and so can run beside one."""
    return check_pair(made, condition, limits) if isinstance(made, LabeledVolume) else made


def _generate_label_first(
    generator: LabelFirstGenerator, conditions: Sequence[Condition], seeds: Sequence[int], limits: QualityConfig
) -> list[LabeledVolume | QualityReport]:
    """The pairs; in place of one whose label map is rejected, the report: no image is made for it."""
    labels = _made(generator.sample_labels, conditions, seeds)
    reports = [
        label if isinstance(label, QualityReport) else _check_label(generator, label, condition, limits)
        for label, condition in zip(labels, conditions, strict=True)
    ]
    passed = [i for i, report in enumerate(reports) if report.passed]
    pairs = _made(generator.generate, [conditions[i] for i in passed], [seeds[i] for i in passed]) if passed else []
    outcomes: list[LabeledVolume | QualityReport] = list(reports)
    for i, pair in zip(passed, pairs, strict=True):
        outcomes[i] = pair
    return outcomes


def _check_label(
    generator: LabelFirstGenerator, label: np.ndarray, condition: Condition, limits: QualityConfig
) -> QualityReport:
    """What quality control says of a label map, on the evenly bright image that it would have."""
    try:
        drawn = LabeledVolume(
            image=np.repeat((label > 0).astype(np.float32)[None], len(generator.channels), axis=0),
            label=label,
            affine=generator.affine,
            scheme=generator.scheme,
            channels=generator.channels,
            provenance={},
        )
    except (GeometryError, LabelError) as error:
        return _failure(error)
    return check_pair(drawn, condition, limits)


def _made(
    make: Callable[[Sequence[Condition], Sequence[int]], Sequence[Made]],
    conditions: Sequence[Condition],
    seeds: Sequence[int],
) -> list[Made | QualityReport]:
    """What is made; a report that says why in place of what is no labelled volume (NaN), or misses its target."""
    try:
        return list(make(conditions, seeds))
    except (BoundsError, GeometryError, LabelError) as error:
        if len(seeds) == 1:
            return [_failure(error)]
    # one bad pair must not take the others of its batch along
    return [
        made for condition, seed in zip(conditions, seeds, strict=True) for made in _made(make, [condition], [seed])
    ]


def _failure(error: SynthAugError) -> QualityReport:
    reason = OUT_OF_REACH if isinstance(error, BoundsError) else INVALID_PAIR
    return QualityReport(False, (reason,), {}, {reason: str(error)})


def _outcome(
    kept: tuple[LabeledVolume, QualityReport] | None, rejected: list[tuple[int, QualityReport]]
) -> CheckedPair:
    rejects = Counter(reason for _, report in rejected for reason in report.reasons)
    attempts = len(rejected) + (kept is not None)
    pair, report = kept if kept is not None else (None, rejected[-1][1] if rejected else None)
    return CheckedPair(pair, attempts, rejects, report, tuple(rejected))
