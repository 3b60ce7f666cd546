"""Fresh labelled 3D volumes, with the structure volumes that were asked for, inside a training loop.

Everything below is imported on first use, so that ``import synthaug`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from synthaug.conditions import Condition, VolumeBounds
    from synthaug.errors import SynthAugError
    from synthaug.generators import CasePaths, PairGenerator, list_generators, load_generator, push_generator
    from synthaug.labels import LabelMapping, LabelScheme, propose_mapping
    from synthaug.leakage import check_leakage
    from synthaug.live import LiveOptions, LiveSource
    from synthaug.mixing import SynthAugment
    from synthaug.precomputing import precompute
    from synthaug.quality import QualityConfig, generate_checked
    from synthaug.schedules import MixSchedule, VolumeSchedule, parse_mix, parse_schedule
    from synthaug.sources import GeneratorSource, StoreSource
    from synthaug.store import Store, StoreInfo
    from synthaug.volumes import LabeledVolume, read_image, read_label, read_pair, write_image, write_label

_HOMES = {
    "SynthAugment": "synthaug.mixing",
    "CasePaths": "synthaug.generators",
    "PairGenerator": "synthaug.generators",
    "list_generators": "synthaug.generators",
    "load_generator": "synthaug.generators",
    "push_generator": "synthaug.generators",
    "precompute": "synthaug.precomputing",
    "QualityConfig": "synthaug.quality",
    "generate_checked": "synthaug.quality",
    "Store": "synthaug.store",
    "StoreInfo": "synthaug.store",
    "GeneratorSource": "synthaug.sources",
    "StoreSource": "synthaug.sources",
    "LiveOptions": "synthaug.live",
    "LiveSource": "synthaug.live",
    "check_leakage": "synthaug.leakage",
    "MixSchedule": "synthaug.schedules",
    "VolumeSchedule": "synthaug.schedules",
    "parse_mix": "synthaug.schedules",
    "parse_schedule": "synthaug.schedules",
    "Condition": "synthaug.conditions",
    "VolumeBounds": "synthaug.conditions",
    "LabelMapping": "synthaug.labels",
    "LabelScheme": "synthaug.labels",
    "propose_mapping": "synthaug.labels",
    "LabeledVolume": "synthaug.volumes",
    "read_image": "synthaug.volumes",
    "read_label": "synthaug.volumes",
    "read_pair": "synthaug.volumes",
    "write_image": "synthaug.volumes",
    "write_label": "synthaug.volumes",
    "SynthAugError": "synthaug.errors",
}

__all__ = [
    "__version__",
    "SynthAugment",
    "CasePaths",
    "PairGenerator",
    "list_generators",
    "load_generator",
    "push_generator",
    "precompute",
    "QualityConfig",
    "generate_checked",
    "Store",
    "StoreInfo",
    "GeneratorSource",
    "StoreSource",
    "LiveOptions",
    "LiveSource",
    "check_leakage",
    "MixSchedule",
    "VolumeSchedule",
    "parse_mix",
    "parse_schedule",
    "Condition",
    "VolumeBounds",
    "LabelMapping",
    "LabelScheme",
    "propose_mapping",
    "LabeledVolume",
    "read_image",
    "read_label",
    "read_pair",
    "write_image",
    "write_label",
    "SynthAugError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'synthaug' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
