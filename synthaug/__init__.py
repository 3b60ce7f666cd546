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
    from synthaug.generators import list_generators, load_generator
    from synthaug.labels import LabelMapping, LabelScheme, propose_mapping
    from synthaug.leakage import check_leakage
    from synthaug.live import LiveOptions, LiveSource
    from synthaug.schedules import MixSchedule, VolumeSchedule, parse_mix, parse_schedule
    from synthaug.sources import StoreSource
    from synthaug.store import Store
    from synthaug.synth_augment import SynthAugment
    from synthaug.volumes import LabeledVolume, read_image, read_label, read_pair

_HOMES = {
    "load_generator": "synthaug.generators",
    "list_generators": "synthaug.generators",
    "SynthAugment": "synthaug.synth_augment",
    "check_leakage": "synthaug.leakage",
    "LiveOptions": "synthaug.live",
    "LiveSource": "synthaug.live",
    "Store": "synthaug.store",
    "StoreSource": "synthaug.sources",
    "LabelScheme": "synthaug.labels",
    "LabelMapping": "synthaug.labels",
    "propose_mapping": "synthaug.labels",
    "LabeledVolume": "synthaug.volumes",
    "read_image": "synthaug.volumes",
    "read_label": "synthaug.volumes",
    "read_pair": "synthaug.volumes",
    "Condition": "synthaug.conditions",
    "VolumeBounds": "synthaug.conditions",
    "VolumeSchedule": "synthaug.schedules",
    "MixSchedule": "synthaug.schedules",
    "parse_schedule": "synthaug.schedules",
    "parse_mix": "synthaug.schedules",
    "SynthAugError": "synthaug.errors",
}

__all__ = [
    "LabelMapping",
    "LabelScheme",
    "LabeledVolume",
    "LiveOptions",
    "LiveSource",
    "MixSchedule",
    "Condition",
    "Store",
    "StoreSource",
    "SynthAugError",
    "SynthAugment",
    "VolumeBounds",
    "VolumeSchedule",
    "__version__",
    "check_leakage",
    "list_generators",
    "load_generator",
    "parse_mix",
    "parse_schedule",
    "propose_mapping",
    "read_image",
    "read_label",
    "read_pair",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'synthaug' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
