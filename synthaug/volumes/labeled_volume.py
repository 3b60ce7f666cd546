"""An image with its label map on one grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthaug.errors import GeometryError
from synthaug.labels import LabelScheme
from synthaug.volumes.geometry import check_affine, spacing_of, voxel_volume_ml
from synthaug.volumes.structure_volumes import structure_volumes_ml


@dataclass(frozen=True, eq=False)
class LabeledVolume:
    """A labelled volume, real or synthetic.

    Attributes:
        image: float32 ``(C, X, Y, Z)``, all finite; intensities as the channel has them (HU for CT).
        label: int16 ``(X, Y, Z)``, ids of ``scheme``, its ignore label, or 0.
        affine: float64 ``(4, 4)``, voxel to mm, RAS+.
        scheme: what the labels mean.
        channels: name of each channel (``("T1",)``).
        provenance: where the volume comes from; JSON-ready.

    Raises:
        GeometryError: shapes, dtypes or affine are not as above, or the image holds NaN or infinite values.
        LabelError: labels outside the scheme.
    """

    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray
    scheme: LabelScheme
    channels: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "affine", np.asarray(self.affine, dtype=np.float64))
        if self.image.ndim != 4 or self.label.ndim != 3 or self.image.shape[1:] != self.label.shape:
            raise GeometryError(
                f"labelled volume: image {self.image.shape} and label {self.label.shape}; "
                "allowed: (C, X, Y, Z) and (X, Y, Z) with the same X, Y, Z"
            )
        if self.image.dtype != np.float32 or self.label.dtype != np.int16:
            raise GeometryError(
                f"labelled volume: image is {self.image.dtype} and label {self.label.dtype}; allowed: float32 and int16"
            )
        if len(self.channels) != self.image.shape[0]:
            raise GeometryError(
                f"labelled volume: {self.image.shape[0]} channels in the image, {len(self.channels)} names "
                f"{self.channels}; name each channel"
            )
        check_affine(self.affine, "labelled volume")
        if not np.isfinite(self.image).all():
            raise GeometryError(
                "labelled volume: the image holds NaN or infinite values; allowed: finite intensities only"
            )
        self.scheme.check(self.label, "labelled volume")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel edge lengths in mm along the array's axes."""
        x, y, z = spacing_of(self.affine)
        return float(x), float(y), float(z)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of a voxel in mL."""
        return voxel_volume_ml(self.affine)

    def volumes_ml(self) -> dict[str, float]:
        """Volume in mL of every structure and group of the scheme; 0 for what is absent."""
        return structure_volumes_ml(self.label, self.scheme, self.voxel_volume_ml)
