"""Runs of a few small cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthaug.precomputing import plan_requests, precompute
from synthaug.precomputing.summary import PrecomputeSummary
from synthaug.schedules import parse_schedule
from synthaug.store import Store, StoreInfo
from tests.stand_in_generator import StandInGenerator

SCHEDULE = parse_schedule("uniform:20:120")


def run(folder: Path, generator: StandInGenerator, num: int = 4, **arguments: Any) -> PrecomputeSummary:
    store = Store.open_or_create(folder, StoreInfo.of(generator))
    return precompute(generator, store, num=num, schedule=arguments.pop("schedule", SCHEDULE), **arguments)


def names(generator: StandInGenerator, num: int, **arguments: Any) -> list[str]:
    return sorted(r.name for r in plan_requests(generator, SCHEDULE, num=num, **arguments))
