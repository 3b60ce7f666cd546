"""What is measured on the real cases before anything is trained: content, extent, intensities, volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import GeometryError
from synthaug.files.atomic import replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.generators.case_pool import foreground_of
from synthaug.generators.cases import CasePaths
from synthaug.generators.intensity_scale import LEAST_OF_UNIT, IntensityScale, without_padding
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.study.bookkeeping import read_kept
from synthaug.volumes import CaseRecord, LabeledVolume, fingerprint_array, fingerprint_label, read_pair
from synthaug.volumes.grid import LARGEST_SHARE_OUTSIDE, Grid, box_centre_mm, box_of

MARGIN_MM = 6.0
"""Room on each side of a planned field of view, for deformed heads and larger synthetic ones."""

SHAPE_MULTIPLE = 8


@dataclass(frozen=True)
class CaseFacts:
    """What is known of a case once it was read.

    Attributes:
        record: its content, for the leakage guard.
        extent_mm: edges, along x, y, z, of the box around all that is no background.
        labelled_mm: edges of the least field of view, centred where the grid is placed, that shows all labels but the
            few that may be cut.
        scales: intensities that stand for 0 and 1 in each channel.
        shape: voxels.
        affine: from voxels to mm; with the content, all that decides what the case is on a grid.
    """

    record: CaseRecord
    extent_mm: tuple[float, float, float]
    labelled_mm: tuple[float, float, float]
    scales: tuple[tuple[float, float], ...]
    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, identifier: str, pair: LabeledVolume) -> CaseFacts:
        """Measure a case.

        Raises:
            GeometryError: its image, or a channel of it, is empty.
        """
        inside = foreground_of(pair.image)
        if not inside.any():
            raise GeometryError(f"{identifier}: its image is 0 in every voxel; restore the file or leave the case out")
        box = box_of(inside)
        x, y, z = ((one.stop - one.start) * edge for one, edge in zip(box, pair.spacing_mm, strict=True))
        return cls(
            CaseRecord(identifier, fingerprint_array(pair.image), fingerprint_label(pair.label)),
            (x, y, z),
            _labelled_mm(pair, inside),
            tuple((scale.zero, scale.one) for scale in own_scales(identifier, pair)),
            tuple(int(size) for size in pair.label.shape),
            tuple(tuple(float(one) for one in row) for row in pair.affine),
        )

    @property
    def content(self) -> dict[str, Any]:
        """What tells the case from any other, and from itself with another header; JSON-ready."""
        return {**vars(self.record), "shape": list(self.shape), "affine": [list(row) for row in self.affine]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> CaseFacts:
        """The inverse of ``asdict``."""
        x, y, z = found["extent_mm"]
        across, along, up = found["labelled_mm"]
        scales = tuple((float(zero), float(one)) for zero, one in found["scales"])
        affine = tuple(tuple(row) for row in found["affine"])
        record = CaseRecord(**found["record"])
        return cls(record, (x, y, z), (across, along, up), scales, tuple(found["shape"]), affine)


def own_scales(name: str, pair: LabeledVolume) -> list[IntensityScale]:
    """The scale of each channel by what is no background of this image, whatever its labels say.

    Args:
        name: of the case or pair, for errors.
        pair: the case or pair.

    Raises:
        GeometryError: a channel is empty, so that nothing stands for 1.
    """
    image = without_padding(pair.image, pair.channels)
    inside = foreground_of(pair.image)
    scales = [IntensityScale.of(one[inside]) for one in image]
    for channel, scale in zip(pair.channels, scales, strict=True):
        if not scale.one > scale.zero:
            raise GeometryError(
                f"{name}: channel {channel} is {scale.one:g} in nearly every voxel that is no background; restore the "
                "file or leave the case out"
            )
    return scales


def survey_cases(
    dataset: NnunetDataset, cases: Sequence[CasePaths], kept: Path, progress: Callable[[int, int], None] | None = None
) -> dict[str, CaseFacts]:
    """Facts of cases by identifier; those of files that did not change are not read again.

    Args:
        dataset: of the cases.
        cases: to read.
        kept: JSON file of what was found before.
        progress: called with how many are done, and how many there are.

    Raises:
        SynthAugError: a file is missing, unreadable, or does not fit its label map.
    """
    known = read_kept(kept)
    facts: dict[str, CaseFacts] = {}
    written = dict(known)
    for done, paths in enumerate(cases, start=1):
        stamp = _stamp(paths)
        if (found := _facts_kept(known.get(paths.identifier), stamp)) is not None:
            facts[paths.identifier] = found
            continue
        pair = read_pair(paths.images, paths.label, dataset.scheme, dataset.channels)
        facts[paths.identifier] = CaseFacts.of(paths.identifier, pair)
        written[paths.identifier] = {"stamp": stamp, "facts": asdict(facts[paths.identifier])}
        if progress:
            progress(done, len(cases))
    if written != known:
        kept.parent.mkdir(parents=True, exist_ok=True)
        replace_file(kept, canonical_json(written).encode())
    return facts


def plan_grid(facts: Sequence[CaseFacts], spacing_mm: tuple[float, float, float]) -> Grid:
    """A grid that shows every case whole, with a margin."""
    extent = np.max([edges for one in facts for edges in (one.extent_mm, one.labelled_mm)], axis=0) + 2 * MARGIN_MM
    x, y, z = (int(blocks) * SHAPE_MULTIPLE for blocks in np.ceil(extent / np.array(spacing_mm) / SHAPE_MULTIPLE))
    return Grid((x, y, z), spacing_mm)


def refuse_cut(facts: Mapping[str, CaseFacts], grid: Grid) -> None:
    """Refuse a grid that does not show what is labelled in a case.

    Args:
        facts: by identifier.
        grid: whose shape was given.

    Raises:
        GeometryError: names the case that needs most, and the shape that all need.
    """
    needed = {name: np.ceil(np.array(one.labelled_mm) / grid.spacing_mm).astype(int) for name, one in facts.items()}
    lacking = {name: int((size - grid.shape).max()) for name, size in needed.items()}
    worst = max(lacking, key=lambda name: lacking[name])
    if lacking[worst] > 0:
        least = np.max(list(needed.values()), axis=0).tolist()
        raise GeometryError(
            f"shape: {list(grid.shape)} voxels cut off what is labelled in {sum(one > 0 for one in lacking.values())} "
            f"case(s), most in {worst}, which needs {needed[worst].tolist()}; give at least {least}, or leave "
            "shape out to have it planned"
        )


def common_scales(facts: Sequence[CaseFacts], channels: Sequence[str]) -> tuple[IntensityScale | None, ...]:
    """The scale of channels whose intensities have a unit; None where each case has a scale of its own."""
    scales: list[IntensityScale | None] = []
    for index, name in enumerate(channels):
        of_cases = [IntensityScale(*one.scales[index], absolute=True) for one in facts]
        scales.append(IntensityScale.middling(of_cases) if name.lower() in LEAST_OF_UNIT else None)
    return tuple(scales)


def _facts_kept(kept: Any, stamp: list[list[Any]]) -> CaseFacts | None:
    """What was found before; None where there is nothing, the files have changed, or the entry is damaged."""
    try:
        return CaseFacts.from_dict(kept["facts"]) if kept["stamp"] == stamp else None
    except (KeyError, TypeError, ValueError):
        return None


def _labelled_mm(pair: LabeledVolume, inside: np.ndarray) -> tuple[float, float, float]:
    places = np.argwhere(pair.label > 0) @ pair.affine[:3, :3].T + pair.affine[:3, 3]
    if not len(places):
        return 0.0, 0.0, 0.0
    reach = np.abs(places - box_centre_mm(inside, pair.affine))
    x, y, z = (2 * float(one) for one in np.quantile(reach, 1 - LARGEST_SHARE_OUTSIDE, axis=0))
    return x, y, z


def _stamp(paths: CasePaths) -> list[list[Any]]:
    states = [(str(path), path.stat()) for path in (*paths.images, paths.label)]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]
