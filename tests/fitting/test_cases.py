"""Cases placed on the grid: what the leakage guard remembers of them, and what a fit does not take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthaug.errors import ConfigurationError, LabelError, SynthAugError
from synthaug.fitting.bank import Bank, BankSettings
from synthaug.fitting.case_form import CaseForm
from synthaug.fitting.cases import load_label_case, load_pair_case
from synthaug.generators.cases import CasePaths
from synthaug.labels import LabelMapping, LabelScheme, Structure
from synthaug.volumes import fingerprint_array, write_image, write_label
from synthaug.volumes.grid import Grid

GRID = Grid((8, 8, 8), (1.0, 1.0, 1.0))
SCHEME = LabelScheme("two", (Structure("brain", 1), Structure("ventricles", 2)), ignore_id=3)
FINE = LabelScheme("fine", (Structure("brain", 10), Structure("left", 20), Structure("right", 21)))
MAPPING = LabelMapping(FINE, SCHEME, {"brain": "brain", "left": "ventricles", "right": "ventricles"})


def form_of(scheme: LabelScheme = SCHEME, *channels: str) -> CaseForm:
    return CaseForm.plain(scheme, channels, GRID)


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
    case = load_label_case(tmp_path / "case.nii.gz", form_of(), MAPPING)
    assert {record.identifier for record in case.records} == {"case"}
    assert [record.label_sha256 for record in case.records] == [
        fingerprint_array(label),
        fingerprint_array(label_of(1, 2, 2)),
    ]


def test_a_label_map_without_mapping_is_remembered_once(tmp_path: Path) -> None:
    write_label(tmp_path / "case.nii.gz", label_of(1, 2), np.eye(4))
    assert len(load_label_case(tmp_path / "case.nii.gz", form_of()).records) == 1


@pytest.mark.parametrize("intensity", [0.0, -1000.0])
def test_an_image_without_contrast_is_refused(tmp_path: Path, intensity: float) -> None:
    paths = write_pair(tmp_path, np.full((8, 8, 8), intensity), label_of(1, 2))
    with pytest.raises(ConfigurationError, match=f"case_0000.nii.gz.*{intensity:g} from their darkest"):
        load_pair_case(paths, form_of(SCHEME, "T1"))


def test_intensities_below_0_are_kept_and_the_background_stays_exact(tmp_path: Path) -> None:
    image = np.where(label_of(1, 2) > 0, np.linspace(-100, 100, 512).reshape(8, 8, 8), 0)
    case = load_pair_case(write_pair(tmp_path, image, label_of(1, 2)), form_of(SCHEME, "T1"))
    (scale,) = case.scales
    assert case.image is not None
    tissue = case.label.numpy() > 0
    restored = scale.restore(case.image[0].numpy(), tissue)
    np.testing.assert_allclose(restored[tissue], image[tissue], atol=2)
    assert (restored[~tissue] == 0).all()


@pytest.mark.parametrize(
    ("scheme", "label", "what"),
    [
        (SCHEME, label_of(3), "64 of 64 labelled voxels have the ignore label 3"),
        (SCHEME, label_of(0), "no labelled voxel"),
        (LabelScheme("many", tuple(Structure(f"s{i}", i) for i in range(1, 301))), label_of(1, 300), "at most 255"),
    ],
)
def test_labels_that_the_networks_do_not_take_are_refused(
    tmp_path: Path, scheme: LabelScheme, label: np.ndarray, what: str
) -> None:
    paths = write_pair(tmp_path, np.ones((8, 8, 8)), label)
    for load in (
        lambda: load_label_case(paths.label, form_of(scheme)),
        lambda: load_pair_case(paths, form_of(scheme, "T1")),
    ):
        with pytest.raises(LabelError, match=what) as caught:
            load()
        assert str(paths.label) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_ids_with_gaps_are_numbered_and_a_few_ignored_voxels_left_out(tmp_path: Path) -> None:
    scheme = LabelScheme("gaps", (Structure("left", 20), Structure("brain", 10)), ignore_id=30)
    paths = write_pair(tmp_path, np.arange(1.0, 513.0).reshape(8, 8, 8), label_of(10, 20, 30))
    form = form_of(scheme, "T1")
    assert dict(zip(form.scheme.names, form.scheme.ids, strict=True)) == {"brain": 1, "left": 2}
    case = load_pair_case(paths, form)
    assert np.bincount(case.label.numpy().ravel()).tolist() == [512 - 63, 62, 1]
    assert case.record.label_sha256 == fingerprint_array(label_of(10, 20, 30))


def test_two_cases_with_one_identifier_are_refused_by_name(tmp_path: Path) -> None:
    write_label(tmp_path / "case.nii.gz", label_of(1, 2), np.eye(4))
    case = load_label_case(tmp_path / "case.nii.gz", form_of())
    with pytest.raises(SynthAugError, match="case more than once"):
        Bank(tmp_path / "bank").build(
            [case, case], BankSettings(), growth={2: 1.0}, fluid_ids=(), spacing_mm=1.0, seed=0
        )
    assert not list((tmp_path / "bank").iterdir())
