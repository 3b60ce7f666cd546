"""Round trip of label maps through a generator's label-map autoencoder: it caps the anatomy of all that follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from synthaug.evaluation.dice import dice
from synthaug.evaluation.intervals import Interval, mean_interval, ratio_interval

if TYPE_CHECKING:
    import torch

    from synthaug.labels import LabelMapping, LabelScheme
    from synthaug.volumes import CaseRecord
    from synthaug.volumes.grid import Grid


class Reconstructor(Protocol):
    """A generator with a label-map autoencoder."""

    scheme: LabelScheme
    training_cases: tuple[CaseRecord, ...]

    def reconstruct_label(self, label: torch.Tensor) -> torch.Tensor:
        """Label map ``(X, Y, Z)`` after the round trip."""
        ...


@dataclass(frozen=True)
class RoundTrip:
    """One label map.

    Attributes:
        name: the case.
        held_out: whether the generator was not fitted on it.
        dice: Dice overlap of label map and reconstruction by structure or group; NaN where both have none of it.
        volumes_ml: volumes before.
        reconstructed_ml: volumes after.
    """

    name: str
    held_out: bool
    dice: Mapping[str, float]
    volumes_ml: Mapping[str, float]
    reconstructed_ml: Mapping[str, float]

    def volume_error_percent(self, name: str) -> float:
        """Absolute volume error in per cent of the volume before; NaN where there was none."""
        before = self.volumes_ml[name]
        return abs(100 * (self.reconstructed_ml[name] - before) / before) if before > 0 else float("nan")


@dataclass(frozen=True)
class RoundTripReport:
    """All label maps.

    Attributes:
        structures: structures, then groups, in the scheme's order.
        num_structures: how many of them are structures: the mean Dice is theirs.
        trips: one for each label map. Those that the generator was fitted on are listed, and left out of the means.
    """

    structures: tuple[str, ...]
    num_structures: int
    trips: tuple[RoundTrip, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; means are over the held-out label maps, None where there is none."""
        held_out = [trip for trip in self.trips if trip.held_out]
        by_structure = {
            name: {
                "dice": _mean([trip.dice[name] for trip in held_out]),
                "volume_error_percent": _mean([trip.volume_error_percent(name) for trip in held_out]),
                "intervals_95": {
                    "dice": _interval([trip.dice[name] for trip in held_out]).to_dict(),
                    "volume_error_percent": _interval([trip.volume_error_percent(name) for trip in held_out]).to_dict(),
                },
            }
            for name in self.structures
        }
        return {
            "held_out": len(held_out),
            "fitted_on": [trip.name for trip in self.trips if not trip.held_out],
            "mean_dice": _mean([value for trip in held_out for value in self.structure_dice(trip)]),
            "intervals_95": {"mean_dice": self._mean_dice_interval(held_out).to_dict()},
            "by_structure": by_structure,
            "maps": [
                {
                    "name": trip.name,
                    "held_out": trip.held_out,
                    "dice": {name: _finite(value) for name, value in trip.dice.items()},
                    "volumes_ml": dict(trip.volumes_ml),
                    "reconstructed_ml": dict(trip.reconstructed_ml),
                }
                for trip in self.trips
            ],
        }

    def worst(self, count: int) -> list[str]:
        """Names of the held-out label maps with the lowest mean Dice over structures, the lowest first."""
        found = [(_mean(self.structure_dice(trip)), trip.name) for trip in self.trips if trip.held_out]
        return [name for _, name in sorted((value, name) for value, name in found if value is not None)][:count]

    def structure_dice(self, trip: RoundTrip) -> list[float]:
        """Dice of each structure, groups left out; NaN where both label maps have none of it."""
        return [trip.dice[name] for name in self.structures[: self.num_structures]]

    def _mean_dice_interval(self, trips: Sequence[RoundTrip]) -> Interval:
        """Over label maps, which may lack structures."""
        dice = np.array([self.structure_dice(trip) for trip in trips]).reshape(len(trips), self.num_structures)
        return ratio_interval(np.nansum(dice, axis=1), np.isfinite(dice).sum(axis=1))


def reconstruct(
    generator: Reconstructor,
    path: Path,
    grid: Grid,
    mapping: LabelMapping | None = None,
    *,
    seen: Callable[[str, np.ndarray, np.ndarray], None] | None = None,
) -> RoundTrip:
    """Send one label map through the autoencoder.

    Args:
        generator: has the autoencoder.
        path: NIfTI label map.
        grid: the generator's grid; the map is placed on it first, so that resampling is not counted.
        mapping: from the file's scheme to the generator's.
        seen: is called with the case's name and the label maps ``(X, Y, Z)`` before and after.

    Raises:
        SynthAugError: the file cannot be read, holds labels outside the scheme, or does not fit the field of view.
    """
    from synthaug.fitting.case_form import CaseForm
    from synthaug.fitting.cases import load_label_case
    from synthaug.volumes import fingerprint_array, read_label, structure_volumes_ml

    case = load_label_case(path, CaseForm.plain(generator.scheme, (), grid), mapping)
    before = case.label.numpy().astype(np.int16)
    after = generator.reconstruct_label(case.label).numpy().astype(np.int16)
    if seen is not None:
        seen(case.identifier, before, after)
    fitted_on = {record.label_sha256 for record in generator.training_cases if record.label_sha256 is not None}
    own = {case.record.label_sha256}
    if mapping:  # it may have been fitted on the mapped file
        own.add(fingerprint_array(mapping.apply(read_label(path)[0])))
    names = _names(generator.scheme)
    return RoundTrip(
        name=case.identifier,
        held_out=not own & fitted_on,
        dice={name: dice(np.isin(before, ids), np.isin(after, ids)) for name, ids in _ids(generator.scheme, names)},
        volumes_ml=structure_volumes_ml(before, generator.scheme, grid.voxel_volume_ml),
        reconstructed_ml=structure_volumes_ml(after, generator.scheme, grid.voxel_volume_ml),
    )


def summarise(scheme: LabelScheme, trips: Sequence[RoundTrip]) -> RoundTripReport:
    """The report on some round trips."""
    return RoundTripReport(_names(scheme), len(scheme.names), tuple(trips))


def _names(scheme: LabelScheme) -> tuple[str, ...]:
    return scheme.names + tuple(scheme.groups)


def _ids(scheme: LabelScheme, names: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, scheme.resolve(name)) for name in names]


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else None


def _interval(values: Sequence[float]) -> Interval:
    return mean_interval([value for value in values if np.isfinite(value)])


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
