"""What a user may choose about counterfactuals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from synthaug.errors import ConfigurationError, did_you_mean


@dataclass(frozen=True)
class CounterfactualOptions:
    """What a user may choose.

    Attributes:
        strength: how much of the changed structure's image is made anew, 0 (the warp alone) to 1 (all of it).
        fill: give the interior of the structure, if it is fluid, the intensity of the subject's own fluid in T1: the
            darkest tenth of the structure. A warp alone leaves the greys of its former borders there.
        painter: guided LDM that makes it anew, a shipped name or a folder; its training cases count as seen.
        random_warp: also a small random affine and smooth warp of each pair, so that one case gives many heads.
        flip: also a left-right flip of every other pair.
        max_growth: a structure grows by this factor at most.
        max_shrinkage: a structure shrinks by this factor at most.
    """

    strength: float = 0.0
    fill: bool = False
    painter: str = "ventricles-t1-1mm"
    random_warp: bool = False
    flip: bool = False
    max_growth: float = 10.0
    max_shrinkage: float = 4.0

    def __post_init__(self) -> None:
        for name, low, high in (("strength", 0, 1), ("max_growth", 1, 100), ("max_shrinkage", 1, 100)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ConfigurationError(
                    f"counterfactual: {name} is {value!r}; it must be a number from {low} to {high}"
                )
        if not isinstance(self.painter, str) or not self.painter:
            raise ConfigurationError(
                f"counterfactual: painter is {self.painter!r}; it must be a guided LDM's name or folder"
            )
        for name in ("fill", "random_warp", "flip"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"counterfactual: {name} is {getattr(self, name)!r}; it must be true or false")

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> CounterfactualOptions:
        """Read options by name.

        Raises:
            ConfigurationError: an unknown option, or a value that is not allowed.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise ConfigurationError(
                    f"counterfactual: unknown option {name!r}{did_you_mean(name, known)}; "
                    f"the options are {', '.join(known)}"
                )
        return cls(**options)
