"""Pairs made when they are asked for, in the process that asks."""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict
from typing import Any

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.generators.protocol import PairGenerator
from synthaug.labels import LabelScheme
from synthaug.precomputing.requests import SEED_BITS, configuration_digest, default_schedule
from synthaug.quality import QualityConfig, generate_checked
from synthaug.schedules import VolumeSchedule
from synthaug.sources.source import Draw
from synthaug.sources.streams import Stream, stream
from synthaug.store import case_name
from synthaug.volumes import CaseRecord, LabeledVolume


class GeneratorSource:
    """A generator as a source: the loop waits for each pair, so that a cache is faster wherever one fits.

    The pairs made last are kept: ``capacity`` of them per process. Without ``distinct`` nearly every draw is a new
    request and the memory serves repeated looks at one item only; with it, draws go round ``distinct`` requests and a
    memory of that size makes each pair once. Data loader workers each hold a copy of the generator; one on a GPU
    needs ``num_workers=0`` (forked workers cannot use CUDA).

    Args:
        generator: makes the pairs.
        schedule: of target volumes in mL; None: uniform over all that the generator allows for ventricles.
        quality: limits; a request whose attempts all fail gives no pair.
        distinct: how many different requests there are; None: no limit.
        capacity: how many pairs are kept in memory (about 30 MB each for 160 x 192 x 160 voxels).

    Raises:
        LabelError: the schedule's structure is none of the generator's.
        BoundsError: the schedule asks for volumes that the generator does not allow.
    """

    def __init__(
        self,
        generator: PairGenerator,
        schedule: VolumeSchedule | None = None,
        *,
        quality: QualityConfig | None = None,
        distinct: int | None = None,
        capacity: int = 8,
    ) -> None:
        if distinct is not None and distinct < 1:
            raise ConfigurationError(f"distinct is {distinct}; it must be 1 or more, or None for no limit")
        if capacity < 0:
            raise ConfigurationError(f"capacity is {capacity}; it must be 0 or more")
        self.generator = generator
        self.schedule = schedule if schedule is not None else default_schedule(generator)
        self._check_schedule()
        self.quality = quality or QualityConfig()
        self._configuration = configuration_digest({}, self.quality)
        self.distinct = distinct
        self.capacity = capacity
        self._made: OrderedDict[str, LabeledVolume | None] = OrderedDict()

    def _check_schedule(self) -> None:
        """A volume out of bounds would end the training at whatever item first draws it."""
        self.generator.scheme.resolve(self.structure)
        self.schedule.limits_within(self.generator.bounds.limits_ml)

    @property
    def scheme(self) -> LabelScheme:
        """Label scheme of the generator."""
        return self.generator.scheme

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of the generator."""
        return tuple(self.generator.channels)

    @property
    def training_cases(self) -> tuple[CaseRecord, ...]:
        """What the generator was fitted on."""
        return tuple(self.generator.training_cases)

    @property
    def structure(self) -> str:
        """The scheduled structure."""
        return self.schedule.structure

    def __len__(self) -> int:
        return self.distinct if self.distinct is not None else sys.maxsize

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": OrderedDict()}  # a worker process begins with an empty memory

    def draw(self, index: int, *, seed: int, epoch: int, rank: int = 0, progress: float = 0.0) -> Draw:
        """Choose a request; see ``Source.draw``."""
        rng = stream(Stream.DRAW, seed, rank, epoch, index)
        if self.distinct is not None:
            rng = stream(Stream.DISTINCT, seed, int(rng.integers(self.distinct)))
        volume_ml = float(self.schedule.draw(progress, rng))
        condition = Condition({self.structure: volume_ml})
        request_seed = int(rng.integers(1 << SEED_BITS))
        name = case_name(self.generator.fingerprint, self._configuration, condition, request_seed)
        read = functools.partial(self._pair, name, condition, request_seed)
        return Draw(name, condition.targets_ml, request_seed, read)

    def _pair(self, name: str, condition: Condition, seed: int) -> LabeledVolume | None:
        if name in self._made:
            self._made.move_to_end(name)
            return self._made[name]
        pair = generate_checked(self.generator, condition, seed, self.quality).pair
        if pair is not None:  # the next draw gets the same arrays
            pair.image.setflags(write=False)
            pair.label.setflags(write=False)
        self._made[name] = pair
        while len(self._made) > self.capacity:
            self._made.popitem(last=False)
        return pair

    def close(self) -> None:
        """Forget the pairs that were kept."""
        self._made.clear()
