"""Structure volumes of generated label maps beside those of real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from synthaug.errors import ConfigurationError
from synthaug.evaluation.intervals import mean_interval


@dataclass(frozen=True)
class VolumeTable:
    """Volumes in mL by structure or group, for two sets of label maps.

    Attributes:
        generated: one mapping for each generated label map.
        real: one for each real label map; may be empty.
    """

    generated: Sequence[Mapping[str, float]]
    real: Sequence[Mapping[str, float]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Count, mean with its 95 % interval, standard deviation and range by structure that both sets have.

        Raises:
            ConfigurationError: nothing was generated, or the sets have no structure in common.
        """
        return self._table

    @cached_property
    def _table(self) -> dict[str, Any]:
        if not self.generated:
            raise ConfigurationError("volumes: no generated label map; make some with `synthaug precompute` first")
        names = list(self.generated[0])
        if self.real:
            common = [name for name in names if all(name in one for one in self.real)]
            if not common:
                raise ConfigurationError(
                    f"volumes: generated label maps have {', '.join(names)}, real ones {', '.join(self.real[0])}: "
                    "none in common; "
                    "give --mapping from the real scheme to the generated one"
                )
            names = common
        table: dict[str, Any] = {}
        for name in names:
            sets = {"generated": self.generated, **({"real": self.real} if self.real else {})}
            table[name] = {one: _statistics(volumes, name) for one, volumes in sets.items()}
            table[name]["intervals_95"] = {
                f"{one}_mean_ml": mean_interval([case[name] for case in volumes]).to_dict()
                for one, volumes in sets.items()
            }
        return table


def _statistics(volumes: Sequence[Mapping[str, float]], name: str) -> dict[str, float]:
    values = np.array([one[name] for one in volumes], dtype=np.float64)
    return {
        "count": len(values),
        "mean_ml": float(values.mean()),
        "sd_ml": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "min_ml": float(values.min()),
        "max_ml": float(values.max()),
    }
