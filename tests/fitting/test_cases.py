"""Cases placed on the grid: what the leakage guard remembers of them, and what a fit does not take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthaug.errors import ConfigurationError, LabelError, SynthAugError
from synthaug.fitting.bank import Bank, BankSettings
from synthaug.fitting.cases import load_label_case, load_pair_case
from synthaug.generators.cases import CasePaths
from synthaug.labels import LabelMapping, LabelScheme, Structure
from synthaug.volumes import fingerprint_array, write_image, write_label
from synthaug.volumes.grid import Grid

GRID = Grid((8, 8, 8), (1.0, 1.0, 1.0))
SCHEME = LabelScheme("two", (Structure("brain", 1), Structure("ventricles", 2)), ignore_id=3)
FINE = LabelScheme("fine", (Structure("brain", 10), Structure("left", 20), Structure("right", 21)))
MAPPING = LabelMapping(FINE, SCHEME, {"brain": "brain", "left": "ventricles", "right": "ventricles"})


def label_of(*values: int) -> np.ndarray:
    label = np.zeros((8, 8, 8), dtype=np.int16)
    label[2:6, 2:6, 2:6] = values[0]
    for index, value in enumerate(values[1:]):
        label[3 + index, 3, 3] = value
    return label


def write_pair(folder: Path, image: np.ndarray, label: np.ndarray) -> CasePaths:
    paths = CasePaths("case", (folder / "case_0000.nii.gz",), folder / "case.nii.gz")
    write_image(paths.images[0], image.astype(np.float32)[None], np.eye(4))
    write_label(paths.label, label, np.eye(4))
    return paths


def test_a_mapped_label_map_is_remembered_as_it_was_and_as_a_dataset_holds_it(tmp_path: Path) -> None:
    label = label_of(10, 20, 21)
    write_label(tmp_path / "case.nii.gz", label, np.eye(4))
    case = load_label_case(tmp_path / "case.nii.gz", SCHEME, GRID, MAPPING)
    assert {record.identifier for record in case.records} == {"case"}
    assert [record.label_sha256 for record in case.records] == [
        fingerprint_array(label),
        fingerprint_array(label_of(1, 2, 2)),
    ]


def test_a_label_map_without_mapping_is_remembered_once(tmp_path: Path) -> None:
    write_label(tmp_path / "case.nii.gz", label_of(1, 2), np.eye(4))
    assert len(load_label_case(tmp_path / "case.nii.gz", SCHEME, GRID).records) == 1


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (np.full((8, 8, 8), -1000.0), "percentile is -1000"),
        (np.zeros((8, 8, 8)), "percentile is 0"),
        (np.linspace(-100, 100, 512).reshape(8, 8, 8), "% of the labelled voxels are below 0"),
    ],
)
def test_intensities_that_are_not_above_0_are_refused(tmp_path: Path, image: np.ndarray, what: str) -> None:
    with pytest.raises(ConfigurationError, match=f"case_0000.nii.gz.*{what}.*offset"):
        load_pair_case(write_pair(tmp_path, image, label_of(1, 2)), SCHEME, ("CT",), GRID)


@pytest.mark.parametrize(
    ("scheme", "label", "what"),
    [
        (SCHEME, label_of(1, 3), "1 voxels have the ignore label 3"),
        (SCHEME, label_of(0), "no labelled voxel"),
        (FINE, label_of(10, 20), "ids 1, 2, 3"),
        (LabelScheme("many", tuple(Structure(f"s{i}", i) for i in range(1, 301))), label_of(1, 300), "at most 255"),
    ],
)
def test_labels_that_the_networks_do_not_take_are_refused(
    tmp_path: Path, scheme: LabelScheme, label: np.ndarray, what: str
) -> None:
    paths = write_pair(tmp_path, np.ones((8, 8, 8)), label)
    for load in (
        lambda: load_label_case(paths.label, scheme, GRID),
        lambda: load_pair_case(paths, scheme, ("T1",), GRID),
    ):
        with pytest.raises(LabelError, match=what) as caught:
            load()
        assert str(paths.label) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_two_cases_with_one_identifier_are_refused_by_name(tmp_path: Path) -> None:
    write_label(tmp_path / "case.nii.gz", label_of(1, 2), np.eye(4))
    case = load_label_case(tmp_path / "case.nii.gz", SCHEME, GRID)
    with pytest.raises(SynthAugError, match="case more than once"):
        Bank(tmp_path / "bank").build(
            [case, case], BankSettings(), growth={2: 1.0}, fluid_ids=(), spacing_mm=1.0, seed=0
        )
    assert not list((tmp_path / "bank").iterdir())
