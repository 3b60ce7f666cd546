"""Generators that go wrong in the ways that generators do."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthaug.conditions import Condition
from synthaug.volumes import LabeledVolume
from tests.stand_in_generator import StandInGenerator

POISONED_ML = 40.0


class Poisoned(StandInGenerator):
    """Dies at large volumes."""

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        if any(one.targets_ml["ventricles"] > POISONED_ML for one in conditions):
            os._exit(11)
        return super().generate(conditions, seeds)


class Dying(StandInGenerator):
    """Dies always."""

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        os._exit(12)


class Hanging(StandInGenerator):
    """Makes two pairs, then hangs."""

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        if len(self.calls) >= 2:
            time.sleep(3600)
        return super().generate(conditions, seeds)


def poisoned(**options: Any) -> StandInGenerator:
    options.pop("device", None)
    return Poisoned(**options)


def dying(**options: Any) -> StandInGenerator:
    options.pop("device", None)
    return Dying(**options)


def hanging(**options: Any) -> StandInGenerator:
    options.pop("device", None)
    return Hanging(**options)


class OnADiskThatFills(StandInGenerator):
    """Makes a few pairs in a second; once the file named by ``SYNTHAUG_CHAOS_FULL_DISK`` is there, it cannot write."""

    def generate(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[LabeledVolume]:
        time.sleep(0.05)
        if Path(os.environ["SYNTHAUG_CHAOS_FULL_DISK"]).exists():
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        return super().generate(conditions, seeds)


def on_a_disk_that_fills(device: str) -> OnADiskThatFills:
    return OnADiskThatFills()


def failing(device: str) -> StandInGenerator:
    """Loads where a training looks at it, and nowhere else."""
    if multiprocessing.parent_process() is not None:
        raise RuntimeError("the weights are of another planet")
    return StandInGenerator()
