"""What a generator is asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthaug.errors import BoundsError, ConfigurationError, shortened


@dataclass(frozen=True)
class Condition:
    """Target volumes of one pair.

    Attributes:
        targets_ml: volume in mL by structure or group; what is not named is left to the generator.
        extrapolate: whether targets outside the generator's bounds are wanted; otherwise they are an error.

    Raises:
        ConfigurationError: the targets are no dictionary.
        BoundsError: a target that is negative, NaN or infinite.
    """

    targets_ml: Mapping[str, float]
    extrapolate: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.targets_ml, Mapping):
            raise ConfigurationError(
                f"condition: targets are {shortened(self.targets_ml)}; give volumes in mL by name, for example "
                '{"ventricles": 40}'
            )
        targets = {}
        for name, volume_ml in self.targets_ml.items():
            try:
                targets[str(name)] = float(volume_ml)
            except (TypeError, ValueError):
                targets[str(name)] = math.nan
            if not (math.isfinite(targets[str(name)]) and targets[str(name)] >= 0):
                raise BoundsError(
                    f"target {shortened(name)}={shortened(repr(volume_ml))}; allowed: a volume in mL, 0 or more"
                )
        object.__setattr__(self, "targets_ml", targets)

    def key(self) -> str:
        """Canonical text, equal for equal targets in any order.

        Whether extrapolation was allowed is no part of it: the pair that is made is the same.
        """
        return json.dumps(dict(self.targets_ml), sort_keys=True, separators=(",", ":"))

    def __hash__(self) -> int:
        return hash((self.key(), self.extrapolate))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        return {"targets_ml": dict(self.targets_ml), "extrapolate": self.extrapolate}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Condition:
        """Read the form that `to_dict` writes.

        Raises:
            ConfigurationError: a missing or unknown key.
            BoundsError: a target that is no volume.
        """
        unknown = sorted(set(d) - {"targets_ml", "extrapolate"})
        extrapolate = d.get("extrapolate", False)
        wrong = unknown + ([] if isinstance(d.get("targets_ml"), Mapping) else ["targets_ml"])
        wrong += [] if isinstance(extrapolate, bool) else ["extrapolate"]
        if wrong:
            raise ConfigurationError(
                f"condition: {', '.join(wrong)} is wrong; allowed: an object 'targets_ml' of volumes in mL "
                "and 'extrapolate' (true or false)"
            )
        return cls(d["targets_ml"], extrapolate)
