"""What a pair has to satisfy, in numbers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from synthaug.errors import ConfigurationError


@dataclass(frozen=True)
class QualityConfig:
    """Limits of the quality control.

    Attributes:
        volume_tolerance: allowed difference between realised and requested volume, relative to the requested one.
        absolute_tolerance_ml: difference in mL that is always allowed; the larger of the two limits holds.
        max_attempts: how many seeds are tried for one request before it is given up.
        min_component_fraction: smallest share of a lateral ventricle's voxels that its largest piece
            (26-neighbourhood) must hold.
        min_structure_voxels: fewest voxels with which a structure counts as present.
        required: names or groups that must be present; None: what the generator states as its attribute
            ``required_structures`` (real cases need not have every structure of a scheme), else every structure.
        connected: names or groups whose structures must each be in one piece; None: the scheme's group
            ``lateral_ventricles`` or, without one, every structure with ``lateral_ventricle`` in its name, in both
            cases without inferior horns.
        max_nonzero_background: largest share of the voxels with label 0 whose intensity may differ from exactly 0;
            None: what the generator states as its attribute of that name, 0 where it states nothing. A network's
            background must be exactly 0, or z-score normalisation and cropping to non-zero voxels tell real from
            synthetic; a warped real image keeps the unlabelled tissue of its subject.
    """

    volume_tolerance: float = 0.25
    absolute_tolerance_ml: float = 2.0
    max_attempts: int = 4
    min_component_fraction: float = 0.9
    min_structure_voxels: int = 1
    required: tuple[str, ...] | None = None
    connected: tuple[str, ...] | None = None
    max_nonzero_background: float | None = None

    def __post_init__(self) -> None:
        wrong = []
        for name in ("volume_tolerance", "absolute_tolerance_ml"):
            if not getattr(self, name) >= 0:
                wrong.append(f"{name} is {getattr(self, name)}: it must be 0 or more")
        for name in ("max_attempts", "min_structure_voxels"):
            if not getattr(self, name) >= 1:
                wrong.append(f"{name} is {getattr(self, name)}: it must be 1 or more")
        for name in ("min_component_fraction", "max_nonzero_background"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                wrong.append(f"{name} is {value}: it must be between 0 and 1")
        if wrong:
            raise ConfigurationError("quality: " + "; ".join(wrong))

    def digest(self) -> str:
        """sha256 (hex) of the limits: it enters a case's name, since the limits decide which attempt is kept.

        The number of attempts stays out: with more of them, what passed before is the same, and what did not may pass.
        """
        described = {name: value for name, value in asdict(self).items() if name != "max_attempts"}
        return hashlib.sha256(json.dumps(described, sort_keys=True, default=list).encode()).hexdigest()
