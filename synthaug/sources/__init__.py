"""What a training loop draws synthetic pairs from."""

from synthaug.sources.choosing import as_source
from synthaug.sources.generator_source import GeneratorSource
from synthaug.sources.source import Draw, Source
from synthaug.sources.statistics import describe_draws
from synthaug.sources.store_source import StoreSource
from synthaug.sources.streams import Stream, stream
from synthaug.sources.volume_index import VolumeIndex

__all__ = [
    "Draw",
    "GeneratorSource",
    "Source",
    "StoreSource",
    "Stream",
    "VolumeIndex",
    "as_source",
    "describe_draws",
    "stream",
]
