"""Round trip: overlap and volumes by structure, and only over maps that the generator never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.conditions import Condition
from synthaug.evaluation.round_trip import reconstruct, summarise
from synthaug.labels import LabelMapping, LabelScheme, Structure
from synthaug.volumes import CaseRecord, fingerprint_array, write_label
from synthaug.volumes.grid import Grid
from tests.stand_in_generator import StandInGenerator

GRID = Grid((32, 32, 32), (4.0, 4.0, 4.0))


class Eroding:
    """Reconstructs everything but the first slice of the left ventricle, and remembers nothing."""

    scheme = LabelScheme.load("ventricles-t1")

    def __init__(self, training_cases: tuple[CaseRecord, ...] = ()) -> None:
        self.training_cases = training_cases

    def reconstruct_label(self, label: torch.Tensor) -> torch.Tensor:
        rebuilt = label.clone()
        left = label == self.scheme.id_of("lateral_ventricle_left")
        first = int(left.any(2).any(1).nonzero()[0])
        rebuilt[first][left[first]] = self.scheme.id_of("cerebral_white_matter")
        return rebuilt


@pytest.fixture
def label_map(tmp_path: Path) -> tuple[Path, np.ndarray]:
    (pair,) = StandInGenerator().generate([Condition({"ventricles": 40.0})], [0])
    path = tmp_path / "brain_01.nii.gz"
    write_label(path, pair.label, pair.affine)
    return path, pair.label


def test_dice_by_structure_and_volume_error_are_those_of_the_change(label_map: tuple[Path, np.ndarray]) -> None:
    path, label = label_map
    generator = Eroding()
    trip = reconstruct(generator, path, GRID)
    assert trip.name == "brain_01"
    assert trip.held_out
    number = generator.scheme.id_of("lateral_ventricle_left")
    before = int((label == number).sum())
    after = round(trip.reconstructed_ml["lateral_ventricle_left"] / GRID.voxel_volume_ml)
    assert 0 < after < before
    assert trip.dice["lateral_ventricle_left"] == pytest.approx(2 * after / (before + after))
    assert trip.dice["thalamus"] == 1
    assert trip.volume_error_percent("lateral_ventricle_left") == pytest.approx(100 * (1 - after / before))
    facts = summarise(generator.scheme, [trip]).to_dict()
    structures = [trip.dice[name] for name in generator.scheme.names]
    assert facts["mean_dice"] == pytest.approx(np.mean(structures))
    assert facts["by_structure"]["lateral_ventricles"]["dice"] == pytest.approx(trip.dice["lateral_ventricles"])


def test_a_map_that_the_generator_was_fitted_on_is_named_and_left_out(label_map: tuple[Path, np.ndarray]) -> None:
    path, label = label_map
    generator = Eroding((CaseRecord("renamed", None, fingerprint_array(label)),))
    report = summarise(generator.scheme, [reconstruct(generator, path, GRID)])
    facts = report.to_dict()
    assert facts["held_out"] == 0
    assert facts["fitted_on"] == ["brain_01"]
    assert facts["mean_dice"] is None


def test_a_map_of_another_scheme_is_mapped_first_and_recognised_by_either_form(
    label_map: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, label = label_map
    target = Eroding.scheme
    names = target.names
    source = LabelScheme("shifted", tuple(Structure(f"old_{name}", target.id_of(name) + 100) for name in names), {})
    mapping = LabelMapping(source, target, {f"old_{name}": name for name in names})
    other = tmp_path / "other.nii.gz"
    write_label(other, np.where(label > 0, label + 100, 0).astype(np.int16), GRID.affine)
    direct, mapped = reconstruct(Eroding(), path, GRID), reconstruct(Eroding(), other, GRID, mapping)
    assert mapped.dice == direct.dice
    assert mapped.held_out
    fitted = Eroding((CaseRecord("mapped_copy", None, fingerprint_array(label)),))
    assert not reconstruct(fitted, other, GRID, mapping).held_out
