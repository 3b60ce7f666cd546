"""What is measured on the real cases before anything is trained: content, extent, intensities, volumes."""

from __future__ import annotations

import json
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
from synthaug.volumes import CaseRecord, LabeledVolume, fingerprint_array, fingerprint_label, read_pair
from synthaug.volumes.grid import Grid, box_of

MARGIN_MM = 6.0
"""Room on each side of a planned field of view, for deformed heads and larger synthetic ones."""

SHAPE_MULTIPLE = 8


@dataclass(frozen=True)
class CaseFacts:
    """What is known of a case once it was read.

    Attributes:
        record: its content, for the leakage guard.
        extent_mm: edges, along x, y, z, of the box around all that is no background.
        scales: intensities that stand for 0 and 1 in each channel.
        volumes_ml: of every structure and group, on the case's own grid.
    """

    record: CaseRecord
    extent_mm: tuple[float, float, float]
    scales: tuple[tuple[float, float], ...]
    volumes_ml: Mapping[str, float]

    @classmethod
    def of(cls, identifier: str, pair: LabeledVolume) -> CaseFacts:
        """Measure a case.

        Raises:
            GeometryError: its image is 0 all over.
        """
        inside = foreground_of(pair.image)
        if not inside.any():
            raise GeometryError(f"{identifier}: its image is 0 in every voxel; restore the file or leave the case out")
        box = box_of(inside)
        x, y, z = ((one.stop - one.start) * edge for one, edge in zip(box, pair.spacing_mm, strict=True))
        return cls(
            CaseRecord(identifier, fingerprint_array(pair.image), fingerprint_label(pair.label)),
            (x, y, z),
            tuple((scale.zero, scale.one) for scale in own_scales(pair)),
            pair.volumes_ml(),
        )

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> CaseFacts:
        """The inverse of ``asdict``."""
        x, y, z = found["extent_mm"]
        scales = tuple((zero, one) for zero, one in found["scales"])
        return cls(CaseRecord(**found["record"]), (x, y, z), scales, found["volumes_ml"])


def own_scales(pair: LabeledVolume) -> list[IntensityScale]:
    """The scale of each channel by what is no background of this image, whatever its labels say."""
    image = without_padding(pair.image, pair.channels)
    inside = foreground_of(pair.image)
    return [IntensityScale.of(one[inside]) for one in image]


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
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    facts: dict[str, CaseFacts] = {}
    written = dict(known)
    for done, paths in enumerate(cases, start=1):
        stamp = _stamp(paths)
        found = known.get(paths.identifier)
        if found is not None and found["stamp"] == stamp:
            facts[paths.identifier] = CaseFacts.from_dict(found["facts"])
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
    extent = np.max([one.extent_mm for one in facts], axis=0) + 2 * MARGIN_MM
    x, y, z = (int(blocks) * SHAPE_MULTIPLE for blocks in np.ceil(extent / np.array(spacing_mm) / SHAPE_MULTIPLE))
    return Grid((x, y, z), spacing_mm)


def common_scales(facts: Sequence[CaseFacts], channels: Sequence[str]) -> tuple[IntensityScale | None, ...]:
    """The scale of channels whose intensities have a unit; None where each case has a scale of its own."""
    scales: list[IntensityScale | None] = []
    for index, name in enumerate(channels):
        of_cases = [IntensityScale(*one.scales[index], absolute=True) for one in facts]
        scales.append(IntensityScale.middling(of_cases) if name.lower() in LEAST_OF_UNIT else None)
    return tuple(scales)


def _stamp(paths: CasePaths) -> list[list[Any]]:
    states = [(str(path), path.stat()) for path in (*paths.images, paths.label)]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]
