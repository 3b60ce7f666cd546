"""The head of a store: which generators it was made with, in which label scheme."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.errors import StoreError
from synthaug.files.atomic import create_file, replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.files.parsed_json import parse_json
from synthaug.labels import LabelScheme
from synthaug.store.cache_file import read_bounded
from synthaug.store.format_versions import FORMAT, FORMAT_VERSION, migrated
from synthaug.store.maker import Maker
from synthaug.store.record import check_head
from synthaug.volumes import CaseRecord

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator

INFO_FILE = "cache.json"
MAX_INFO_BYTES = 32 << 20  # a generator fitted on 100,000 cases names them in about 20 MB


@dataclass(frozen=True)
class StoreInfo:
    """What all cases of a store have in common.

    Attributes:
        scheme: label scheme of every label map.
        channels: names of the image channels, in order.
        generator: name of the generator that the store began with.
        fingerprint: sha256 (hex) of that generator's weights and configuration.
        training_cases: what the generators were fitted on, for the leakage guard.
        bounds_ml: allowed targets in mL by structure or group.
        licence: of the weights, where their configuration states one.
        further_makers: other generators, whose cases were merged into the store.
        format_version: of the file that this was read from.
    """

    scheme: LabelScheme
    channels: tuple[str, ...]
    generator: str
    fingerprint: str
    training_cases: tuple[CaseRecord, ...] = ()
    bounds_ml: Mapping[str, tuple[float, float]] | None = None
    licence: str | None = None
    further_makers: tuple[Maker, ...] = ()
    format_version: int = field(default=FORMAT_VERSION, compare=False)

    @property
    def makers(self) -> tuple[Maker, ...]:
        """All generators that cases of the store may be from, the one that it began with first."""
        return (Maker(self.generator, self.fingerprint, self.licence), *self.further_makers)

    @property
    def generators(self) -> str:
        """Names of the makers, for messages."""
        return " or ".join(dict.fromkeys(maker.name for maker in self.makers))

    @property
    def fingerprints(self) -> frozenset[str]:
        """Of all generators that cases of the store may be from."""
        return frozenset(maker.fingerprint for maker in self.makers)

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
            getattr(generator, "licence", None),
        )

    @classmethod
    def expected(cls, folder: Path, generator: PairGenerator) -> StoreInfo:
        """The head of the cache that a generator is about to fill: the one that is there, or a new one.

        Raises:
            StoreError: the cache is not of this generator, or its head is damaged.
        """
        made_by = cls.of(generator)
        if not (folder / INFO_FILE).exists():
            return made_by
        found = cls.read(folder)
        found.require(made_by, folder)
        return found

    def with_cases_of(self, other: StoreInfo, folder: Path, other_folder: Path) -> StoreInfo:
        """The head of a store that takes in the cases of another.

        Generators are listed, what they were fitted on is united, and bounds are widened to hold both.

        Args:
            other: head of the store whose cases are taken in.
            folder: of this store, for the message.
            other_folder: of the other.

        Raises:
            StoreError: another scheme or other channels.
        """
        self._require_form(other, folder, str(other_folder))
        known = {maker.fingerprint: maker for maker in self.makers}
        for maker in other.makers:
            before = known.get(maker.fingerprint)
            if before is None or before.licence is None:
                known[maker.fingerprint] = maker
        first, *further = known.values()
        bounds = dict(self.bounds_ml or {})
        for name, (low, high) in (other.bounds_ml or {}).items():
            own_low, own_high = bounds.get(name, (low, high))
            bounds[name] = (min(low, own_low), max(high, own_high))
        return replace(
            self,
            training_cases=tuple(dict.fromkeys((*self.training_cases, *other.training_cases))),
            bounds_ml=bounds,
            licence=first.licence,
            further_makers=tuple(further),
        )

    def require(self, other: StoreInfo, folder: Path) -> None:
        """Refuse what was made with another generator, scheme or set of channels.

        Raises:
            StoreError: with both values and what to do.
        """
        if other.fingerprint not in self.fingerprints:
            made_with = " and ".join(f"{maker.name} (fingerprint {maker.fingerprint[:12]})" for maker in self.makers)
            raise StoreError(
                f"{folder}: this cache was made with {made_with}, not with "
                f"{other.generator} (fingerprint {other.fingerprint[:12]}): its weights or sampling settings differ; "
                "give another folder, or the same weights and settings"
            )
        self._require_form(other, folder, "the pair")

    def _require_form(self, other: StoreInfo, folder: Path, who: str) -> None:
        if other.scheme.to_dict() != self.scheme.to_dict():
            raise StoreError(
                f"{folder}: this cache has label scheme {self.scheme.name}, {who} has {other.scheme.name} "
                "or another version of it; give another folder"
            )
        if other.channels != self.channels:
            raise StoreError(
                f"{folder}: this cache has channels {', '.join(self.channels)}, {who} has "
                f"{', '.join(other.channels)}; give another folder"
            )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "generators": [maker.to_dict() for maker in self.makers],
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

    def write(self, folder: Path) -> None:
        """Replace ``cache.json``, in the present format."""
        replace_file(folder / INFO_FILE, _sealed(self.to_dict()))

    @classmethod
    def read(cls, folder: Path) -> StoreInfo:
        """Read ``cache.json``; one of an older format is migrated in memory, its file left as it is.

        Raises:
            StoreError: missing, damaged, or of a newer format.
        """
        path = folder / INFO_FILE
        try:
            content = read_bounded(path, MAX_INFO_BYTES)
        except FileNotFoundError:
            found = "no such folder" if not folder.exists() else f"{INFO_FILE} is missing"
            raise StoreError(
                f"{folder}: is not a cache ({found}); make one with `synthaug precompute --out {folder}`"
            ) from None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
        try:
            described = parse_json(content)
            if not isinstance(described, dict):
                raise ValueError("it is no JSON object")
            if described["format"] != FORMAT:
                raise ValueError(f"its format is {described['format']!r}, not {FORMAT!r}")
            version = described["format_version"]
            if isinstance(version, bool) or not isinstance(version, int):
                raise ValueError(f"its format_version is {version!r}")
            sealed = _sealed(described)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise _no_head(path, error) from None
        if content != sealed and version <= FORMAT_VERSION:  # a newer format may be sealed otherwise
            raise StoreError(f"{path}: does not match its checksum, a byte of it is wrong; restore the file")
        try:
            present = migrated(described, version, str(path))
            check_head(present)
            first, *further = (Maker.from_dict(one) for one in present["generators"])
            return cls(
                LabelScheme.from_dict(present["scheme"]),
                tuple(present["channels"]),
                first.name,
                first.fingerprint,
                tuple(CaseRecord(**case) for case in present["training_cases"]),
                {name: (low, high) for name, (low, high) in present["bounds_ml"].items()},
                first.licence,
                tuple(further),
                version,
            )
        except StoreError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _no_head(path, error) from None


def _no_head(path: Path, error: Exception) -> StoreError:
    reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)  # which shows as the key in quotes
    return StoreError(f"{path}: is not the head of a cache ({reason}); restore the file")


def _sealed(described: Mapping[str, Any]) -> bytes:
    """The one form in which the head is written: with a digest of itself, so that any changed byte shows."""
    plain = {key: value for key, value in described.items() if key != "sha256"}
    seal = hashlib.sha256(canonical_json(plain).encode()).hexdigest()
    return (canonical_json({**plain, "sha256": seal}) + "\n").encode()
