"""The head of a store: which generator it was made with, in which label scheme."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.errors import StoreError
from synthaug.files.atomic import create_file
from synthaug.files.canonical_json import canonical_json
from synthaug.labels import LabelScheme
from synthaug.store.bounded_reading import read_bounded
from synthaug.volumes import CaseRecord

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator

INFO_FILE = "cache.json"
FORMAT, FORMAT_VERSION = "synthaug-cache", 1
_MAX_BYTES = 64 << 20  # a generator fitted on 100,000 cases names them in about 20 MB


@dataclass(frozen=True)
class StoreInfo:
    """What all cases of a store have in common.

    Attributes:
        scheme: label scheme of every label map.
        channels: names of the image channels, in order.
        generator: the generator's name.
        fingerprint: sha256 (hex) of the generator's weights and configuration.
        training_cases: what the generator was fitted on, for the leakage guard.
        bounds_ml: allowed targets in mL by structure or group.
    """

    scheme: LabelScheme
    channels: tuple[str, ...]
    generator: str
    fingerprint: str
    training_cases: tuple[CaseRecord, ...] = ()
    bounds_ml: Mapping[str, tuple[float, float]] | None = None

    @classmethod
    def of(cls, generator: PairGenerator) -> StoreInfo:
        """The head of a store that a generator fills."""
        return cls(
            generator.scheme,
            tuple(generator.channels),
            generator.name,
            generator.fingerprint,
            tuple(generator.training_cases),
            {name: (float(low), float(high)) for name, (low, high) in generator.bounds.limits_ml.items()},
        )

    def require(self, other: StoreInfo, folder: Path) -> None:
        """Refuse what was made with another generator, scheme or set of channels.

        Raises:
            StoreError: with both values and what to do.
        """
        if other.fingerprint != self.fingerprint:
            raise StoreError(
                f"{folder}: this cache was made with {self.generator} (fingerprint {self.fingerprint[:12]}), not with "
                f"{other.generator} (fingerprint {other.fingerprint[:12]}): its weights or sampling settings differ; "
                "give another folder, or the same weights and settings"
            )
        if other.scheme.to_dict() != self.scheme.to_dict():
            raise StoreError(
                f"{folder}: this cache has label scheme {self.scheme.name}, the pair has {other.scheme.name} "
                "or another version of it; give another folder"
            )
        if other.channels != self.channels:
            raise StoreError(
                f"{folder}: this cache has channels {', '.join(self.channels)}, the pair has "
                f"{', '.join(other.channels)}; give another folder"
            )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "generator": self.generator,
            "fingerprint": self.fingerprint,
            "channels": list(self.channels),
            "scheme": self.scheme.to_dict(),
            "bounds_ml": {name: list(limits) for name, limits in (self.bounds_ml or {}).items()},
            "training_cases": [
                {"identifier": case.identifier, "image_sha256": case.image_sha256, "label_sha256": case.label_sha256}
                for case in self.training_cases
            ],
        }

    def create(self, folder: Path) -> bool:
        """Write ``cache.json`` where there is none; False where there is one."""
        return create_file(folder / INFO_FILE, _sealed(self.to_dict()))

    @classmethod
    def read(cls, folder: Path) -> StoreInfo:
        """Read ``cache.json``.

        Raises:
            StoreError: missing, damaged, or of a newer format.
        """
        path = folder / INFO_FILE
        try:
            content = read_bounded(path, _MAX_BYTES)
        except FileNotFoundError:
            found = "no such folder" if not folder.exists() else f"{INFO_FILE} is missing"
            raise StoreError(
                f"{folder}: is not a cache ({found}); make one with `synthaug precompute --out {folder}`"
            ) from None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
        try:
            described = json.loads(content)
            if described["format"] != FORMAT:
                raise ValueError(f"its format is {described['format']!r}")
            version = int(described["format_version"])
            sealed = _sealed(described)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StoreError(f"{path}: is not the head of a cache ({error}); restore the file") from None
        if version > FORMAT_VERSION:
            raise StoreError(
                f"{path}: has format version {version}, this synthaug reads up to {FORMAT_VERSION}; update synthaug"
            )
        if content != sealed:
            raise StoreError(f"{path}: does not match its checksum, a byte of it is wrong; restore the file")
        try:
            return cls(
                LabelScheme.from_dict(described["scheme"]),
                tuple(described["channels"]),
                described["generator"],
                described["fingerprint"],
                tuple(CaseRecord(**case) for case in described["training_cases"]),
                {name: (low, high) for name, (low, high) in described["bounds_ml"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path}: is not the head of a cache ({error}); restore the file") from None


def _sealed(described: Mapping[str, Any]) -> bytes:
    """The one form in which the head is written: with a digest of itself, so that any changed byte shows."""
    plain = {key: value for key, value in described.items() if key != "sha256"}
    seal = hashlib.sha256(canonical_json(plain).encode()).hexdigest()
    return (canonical_json({**plain, "sha256": seal}) + "\n").encode()
