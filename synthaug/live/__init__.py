"""Pairs made while a training runs: a pool, the process that fills it, and the source that draws from it."""

from synthaug.live.live_source import LiveSource
from synthaug.live.options import LiveOptions

__all__ = ["LiveOptions", "LiveSource"]
