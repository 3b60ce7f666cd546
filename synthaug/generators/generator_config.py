"""What the configuration of every generator with weights says, whatever its system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from synthaug.conditions import VolumeBounds
from synthaug.errors import BoundsError
from synthaug.generators.config_file import CONFIG_NAME, read_config_file
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord
from synthaug.volumes.grid import Grid

if TYPE_CHECKING:
    from typing_extensions import Self


def refuse_no_volume(name: str, volume_ml: float) -> None:
    """Refuse a target whose logarithm, which the networks are given, does not exist.

    Raises:
        BoundsError: the volume is not above 0.
    """
    if not volume_ml > 0:
        raise BoundsError(f"target {name}={volume_ml:g} mL; allowed: a volume above 0; choose a larger one")


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig(ABC):
    """Everything but the weights and the networks' sizes.

    Attributes:
        name: name of the generator.
        scheme: label scheme.
        channels: names of the image channels.
        grid: shape and spacing of the pairs, RAS+.
        limits_ml: bounds of each volume control in mL; the controls and their order.
        intensities: what the networks' intensities stand for, by channel.
        required_structures: structures that every training case has, more than a few voxels of them, and that the
            generator made on trial each time; a label map without one of them is wrong.
        label_offsets: what is added to the normalised intensities of each label, background first, by channel, so that
            structures have the mean intensities of the training cases; empty: nothing.
        licence: licence of the weights, which is that of their data.
        training_cases: what the weights were fitted on.
        versions: versions of the libraries that fitted them.
    """

    name: str
    scheme: LabelScheme
    channels: tuple[str, ...]
    grid: Grid
    limits_ml: Mapping[str, tuple[float, float]]
    intensities: tuple[IntensityScale, ...]
    required_structures: tuple[str, ...]
    label_offsets: tuple[tuple[float, ...], ...] = ()
    licence: str = "unknown"
    training_cases: tuple[CaseRecord, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def bounds(self) -> VolumeBounds:
        """Bounds of the controls in mL."""
        return VolumeBounds(dict(self.limits_ml))

    def widened_limits(self, targets_ml: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """What a condition may be, in mL by control: the limits, widened by targets that are extrapolated."""
        return {
            name: (min(low, targets_ml.get(name, low)), max(high, targets_ml.get(name, high)))
            for name, (low, high) in self.limits_ml.items()
        }

    def voxels_of(self, volumes_ml: Mapping[str, float]) -> dict[tuple[int, ...], int]:
        """Volumes in mL by structure or group as voxels by label ids."""
        voxel_ml = self.grid.voxel_volume_ml
        return {tuple(self.scheme.resolve(name)): round(one / voxel_ml) for name, one in volumes_ml.items()}

    def volumes_ml(self, counts: torch.Tensor, names: Iterable[str]) -> dict[str, float]:
        """Volumes in mL of structures or groups, above 0, since they are taken the logarithm of.

        Args:
            counts: voxels by label id, ``(K,)`` or fewer.
            names: of the structures or groups.
        """
        found = dict(enumerate(counts.tolist()))
        voxels = {name: sum(found.get(one, 0) for one in self.scheme.resolve(name)) for name in names}
        return {name: max(count, 1) * self.grid.voxel_volume_ml for name, count in voxels.items()}

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """JSON form."""

    @classmethod
    @abstractmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> Self:
        """Read the JSON form.

        Args:
            content: of the file.
            where: the file, for errors.

        Raises:
            ConfigurationError: a key is missing, unknown or of the wrong form, values contradict each other, or the
                format is of a later version.
        """

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``config.json`` of a generator's folder.

        Raises:
            ConfigurationError: it is missing, or what :meth:`from_dict` refuses.
        """
        return cls.from_dict(read_config_file(folder), str(folder / CONFIG_NAME))

    def common_dict(self) -> dict[str, Any]:
        """JSON form of what all systems have."""
        return {
            **{key: getattr(self, key) for key in ("name", "channels", "limits_ml", "required_structures", "licence")},
            "scheme": self.scheme.to_dict(),
            "grid": {**asdict(self.grid), "orientation": "RAS"},
            "intensities": [asdict(one) for one in self.intensities],
            "label_offsets": self.label_offsets,
            "training_cases": [asdict(case) for case in self.training_cases],
            "versions": dict(self.versions),
        }


def read_common(content: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a :class:`GeneratorConfig` from its JSON form, whose keys were checked."""
    return {
        "name": content["name"],
        "scheme": LabelScheme.from_dict(content["scheme"]),
        "channels": tuple(content["channels"]),
        "grid": Grid(tuple(content["grid"]["shape"]), tuple(content["grid"]["spacing_mm"])),
        "limits_ml": {key: (float(low), float(high)) for key, (low, high) in content["limits_ml"].items()},
        "intensities": tuple(IntensityScale(**one) for one in content["intensities"]),
        "required_structures": tuple(content["required_structures"]),
        "label_offsets": tuple(tuple(row) for row in content.get("label_offsets", ())),
        "licence": content["licence"],
        "training_cases": tuple(CaseRecord(**case) for case in content["training_cases"]),
        "versions": content["versions"],
    }
