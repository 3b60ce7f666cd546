"""A source from whatever stands for one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthaug.errors import ConfigurationError
from synthaug.generators.config_file import CONFIG_NAME
from synthaug.generators.protocol import PairGenerator
from synthaug.generators.registry import list_generators
from synthaug.schedules import VolumeSchedule, parse_schedule
from synthaug.sources.generator_source import GeneratorSource
from synthaug.sources.source import Source
from synthaug.sources.store_source import StoreSource
from synthaug.store import Store


def as_source(
    given: Source | PairGenerator | Store | Path | str, schedule: VolumeSchedule | str | Mapping[str, Any] | None = None
) -> Source:
    """A source from whatever stands for one: a store, its folder, a generator, or a source.

    Raises:
        ConfigurationError: it is none of these, or a source with a schedule of its own is given another one.
        SynthAugError: the schedule asks for what the store or the generator does not have.
    """
    wanted = schedule if isinstance(schedule, VolumeSchedule) or schedule is None else parse_schedule(schedule)
    if isinstance(given, (str, Path)):
        given = _open_cache(given)
    if isinstance(given, Store):
        return StoreSource(given, wanted)
    if isinstance(given, type):
        raise ConfigurationError(f"source_or_generator is the class {given.__name__}; give an instance of it")
    if hasattr(given, "draw"):
        if wanted is not None:
            raise ConfigurationError("schedule: the source has its own; give the schedule to the source")
        return given  # type: ignore[return-value]
    if hasattr(given, "generate"):
        return GeneratorSource(given, wanted)
    raise ConfigurationError(
        f"source_or_generator is a {type(given).__name__}; allowed are a source, a store or its folder, and a generator"
    )


def _open_cache(given: str | Path) -> Store:
    folder = Path(given)
    names = {one.name for one in list_generators()}
    if (folder / CONFIG_NAME).is_file() or (not folder.exists() and str(given) in names):
        raise ConfigurationError(
            f"source_or_generator: {str(given)!r} is a generator, not a cache; "
            f"give synthaug.load_generator({str(given)!r})"
        )
    return Store.open(folder)
