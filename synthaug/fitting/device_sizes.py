"""What a device and a budget allow beyond minutes on a CPU: more samples in a step, and wider networks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from synthaug.fitting.settings import FitSettings

SAMPLES_BYTES = 12e9
"""Memory of a GPU for as many samples in a step as on a CPU; networks of twice the width take twice that."""

MOST_SAMPLES = 8

WIDE_BYTES, WIDE_SECONDS = 24e9, 3600
"""Memory of a GPU and training time from which on networks are wider."""

WIDE_CHANNELS = {
    "mask_diffusion": (128, 256, 384),
    "mask_detail_0": (96, 192),
    "mask_detail_1": (96, 192),
    "image_diffusion": (64, 128, 256),
    "mask_sequence": (128, 256, 384),
    "image_sequence": (64, 128, 192),
    "slice_diffusion": (64, 128, 192),
}
"""Channels of networks by the section of their settings: twice their defaults."""

COUNTS = ("crops", "samples", "subsequences", "windows", "slices")
"""What the numbers of samples in a step are called in batches."""

Settings = TypeVar("Settings", bound=FitSettings)


@dataclass(frozen=True)
class DeviceSizes:
    """Sizes that suit a device.

    Attributes:
        samples: times as many samples in a step as on a CPU.
        wide: whether networks have twice the channels.
    """

    samples: int = 1
    wide: bool = False

    @classmethod
    def of(cls, gpu_bytes: int, budget_seconds: float) -> DeviceSizes:
        """Sizes for the memory of a GPU, 0 on a CPU, and a training time."""
        wide = gpu_bytes >= WIDE_BYTES and budget_seconds >= WIDE_SECONDS
        samples = int(gpu_bytes // (SAMPLES_BYTES * (2 if wide else 1)))
        return cls(min(max(samples, 1), MOST_SAMPLES), wide)

    def applied(self, settings: Settings) -> Settings:
        """Settings of any system with these sizes."""
        changes: dict[str, Any] = {}
        if (batch := getattr(settings, "batch", None)) is not None:  # a system of one network
            changes["batch"] = self._batch(batch)
        for field in fields(settings):
            section = getattr(settings, field.name)
            if not hasattr(section, "network"):
                continue
            channels = WIDE_CHANNELS.get(field.name) if self.wide else None
            network = {"channels": list(channels), **section.network} if channels else section.network
            changes[field.name] = replace(section, network=network, batch=self._batch(section.batch))
        return replace(settings, **changes)

    def note(self) -> str:
        """For the reader of a plan; empty where sizes are those of a CPU."""
        if self == DeviceSizes():
            return ""
        width = ", networks of twice the width" if self.wide else ""
        return f"for this GPU and budget: {self.samples} times the samples in a step{width}"

    def _batch(self, batch: Any) -> Any:
        counts = {name: self.samples * getattr(batch, name) for name in COUNTS if hasattr(batch, name)}
        return replace(batch, **counts)
