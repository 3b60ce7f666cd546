"""What a training loop draws synthetic pairs from."""

from synthaug.sources.generator_source import GeneratorSource
from synthaug.sources.source import Draw, Source
from synthaug.sources.statistics import describe_draws
from synthaug.sources.store_source import StoreSource
from synthaug.sources.volume_index import VolumeIndex

__all__ = ["Draw", "GeneratorSource", "Source", "StoreSource", "VolumeIndex", "describe_draws"]
