"""Real cases and synthetic pairs on the grid of a study, in its labels and its intensities."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from synthaug.errors import GeometryError
from synthaug.files.canonical_json import canonical_json
from synthaug.files.tensors import write_tensors
from synthaug.generators.case_pool import foreground_of
from synthaug.generators.intensity_scale import IntensityScale, without_padding
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.study.case_survey import own_scales
from synthaug.volumes import LabeledVolume
from synthaug.volumes.grid import LARGEST_SHARE_OUTSIDE, Grid, box_centre_mm, place_on_grid


@dataclass(frozen=True)
class GridCase:
    """A case on the grid.

    Attributes:
        name: of the case or pair.
        image: float16 ``(C, X, Y, Z)``; 1 stands for the 99.5th percentile of tissue, 0 for the background.
        label: uint8 ``(X, Y, Z)``, ids from 1 to the number of structures.
    """

    name: str
    image: torch.Tensor
    label: torch.Tensor


@dataclass(frozen=True)
class GridForm:
    """How cases are brought to the grid.

    Attributes:
        grid: of all networks of the study.
        scheme: structures with ids from 1 to N.
        scales: of channels whose intensities have a unit; None for those whose cases are each scaled by themselves.
    """

    grid: Grid
    scheme: LabelScheme
    scales: tuple[IntensityScale | None, ...]

    def bring(self, name: str, pair: LabeledVolume, mapping: LabelMapping) -> GridCase:
        """Labels by nearest neighbour, images by linear interpolation.

        Neither place nor intensities depend on the labels, which a test case does not have in practice.

        Args:
            name: of the case.
            pair: in any geometry.
            mapping: from its structures to those of `scheme`.

        Raises:
            LabelError: a label outside the mapping's source.
            GeometryError: structures lie outside the grid, an intensity is NaN or infinite, or a channel is empty.
        """
        inside = foreground_of(pair.image)
        affine = self.grid.affine_centred_at(box_centre_mm(inside, pair.affine))
        mapped = mapping.apply(pair.label, name)
        label = place_on_grid(mapped, pair.affine, self.grid, affine, is_label=True)
        self._refuse_cut(name, mapped, pair.affine, affine)
        scales = [common or own for common, own in zip(self.scales, own_scales(name, pair), strict=True)]
        channels = zip(scales, without_padding(pair.image, pair.channels), strict=True)
        image = np.stack(
            [
                place_on_grid(scale.normalise(one), pair.affine, self.grid, affine, is_label=False)
                for scale, one in channels
            ]
        )
        if not np.isfinite(image).all():
            raise GeometryError(f"{name}: an intensity is NaN or infinite; restore the image or leave the case out")
        shown = place_on_grid(inside.astype(np.uint8), pair.affine, self.grid, affine, is_label=True) > 0
        return GridCase(
            name,
            torch.from_numpy((image * shown).astype(np.float16)),
            torch.from_numpy(label.astype(np.uint8)),
        )

    def _refuse_cut(self, name: str, label: np.ndarray, affine: np.ndarray, grid_affine: np.ndarray) -> None:
        """By the places of voxels: on coarse grids small structures lose and gain by rounding alone."""
        to_grid = np.linalg.inv(grid_affine) @ affine
        places = np.argwhere(label > 0) @ to_grid[:3, :3].T + to_grid[:3, 3]
        outside = ((places < -0.5) | (places > np.array(self.grid.shape) - 0.5)).any(axis=1)
        if len(outside) and outside.mean() > LARGEST_SHARE_OUTSIDE:
            raise GeometryError(
                f"{name}: {outside.mean():.0%} of what is labelled lies outside the field of view, {self.grid.shape} "
                f"voxels of {self.grid.spacing_mm} mm; at most {LARGEST_SHARE_OUTSIDE:.0%} may: give a larger shape"
            )

    def identity(self) -> str:
        """Text that is the same for the same form."""
        scales = [None if one is None else asdict(one) for one in self.scales]
        return canonical_json([asdict(self.grid), self.scheme.to_dict(), scales], indent=None)


class Shelf:
    """A folder of cases on the grid, each made once, whichever process needs it first.

    Args:
        folder: made when the first case is.
        form: of the cases.
    """

    def __init__(self, folder: Path, form: GridForm) -> None:
        self._folder = folder
        self.form = form

    def get(self, name: str, content: str, mapping: LabelMapping, read: Callable[[], LabeledVolume]) -> GridCase:
        """A case, read and brought to the grid if it is not there yet.

        Args:
            name: of the case.
            content: text that is the same for the same content.
            mapping: from its structures to those of the form.
            read: gives the pair.
        """
        table = canonical_json([mapping.source.to_dict(), dict(mapping.table)], indent=None)
        key = hashlib.sha256("\n".join([self.form.identity(), table, content]).encode()).hexdigest()[:24]
        path = self._folder / f"{key}.safetensors"
        try:
            found = load_file(path)
            return GridCase(name, found["image"], found["label"])
        except (FileNotFoundError, SafetensorError, KeyError):
            pass  # not there, or damaged: it is made anew
        case = self.form.bring(name, read(), mapping)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_tensors(path, {"image": case.image, "label": case.label})
        return case
