"""The export is a BIDS derivative whose files say what the cache says."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import load

from synthaug.errors import StoreError
from synthaug.store import Store, StoreInfo
from synthaug.store.nifti_export import export_nifti
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import VOLUMES_ML, fill


@pytest.fixture
def store(tmp_path: Path) -> Store:
    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator)
    return store


def test_images_and_labels_have_the_arrays_and_the_true_affine(store: Store, tmp_path: Path) -> None:
    assert export_nifti(store, tmp_path / "out") == 3
    for name in store.names():
        pair = store.read(name)
        stem = tmp_path / "out" / f"sub-{name}" / "anat" / f"sub-{name}_space-orig_desc-synthetic"
        image, label = (load(f"{stem}_{suffix}.nii.gz") for suffix in ("T1w", "dseg"))
        np.testing.assert_allclose(image.affine, pair.affine)
        np.testing.assert_allclose(label.affine, pair.affine)
        np.testing.assert_array_equal(np.asarray(image.dataobj), pair.image[0])
        np.testing.assert_array_equal(np.asarray(label.dataobj), pair.label)
        sidecar = json.loads(Path(f"{stem}_T1w.json").read_text())
        assert sidecar["Provenance"]["pair"]["seed"] == pair.provenance["seed"]


def test_the_folder_describes_itself(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_nifti(store, out)
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][1]["Version"] == store.info.fingerprint
    labels = json.loads((out / "labels.json").read_text())
    assert labels["structures"]["lateral_ventricle_left"] == 3
    assert "lateral_ventricle_left" in labels["groups"]["ventricles"]
    with open(out / "dseg.tsv") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert rows[0] == {"index": "0", "name": "background"}
    assert len(rows) == 1 + len(store.info.scheme.names)
    with open(out / "participants.tsv") as file:
        people = list(csv.DictReader(file, delimiter="\t"))
    assert sorted(float(p["ventricles_ml"]) for p in people) == pytest.approx(VOLUMES_ML, abs=0.1)


def test_an_export_can_be_repeated_but_foreign_files_are_left_alone(store: Store, tmp_path: Path) -> None:
    export_nifti(store, tmp_path / "out")
    assert export_nifti(store, tmp_path / "out") == 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"thesis\.txt"):
        export_nifti(store, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.txt"]


def test_a_damaged_case_is_not_exported(store: Store, tmp_path: Path) -> None:
    name = store.names()[0]
    image = store.folder / "cases" / name / "image.b2nd"
    image.write_bytes(image.read_bytes()[:-1])
    with pytest.raises(StoreError, match=name):
        export_nifti(store, tmp_path / "out")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "description",
    [
        '{"Name": "Our study", "BIDSVersion": "1.8.0"}',
        '{"Name": "Derived", "GeneratedBy": [{"Name": "fMRIPrep", "Version": "23"}, {"Name": "x", "Version": "1"}]}',
        '{"GeneratedBy": []}',
        "[]",
        "not json",
    ],
)
def test_a_data_set_of_the_users_own_is_refused_and_untouched(store: Store, tmp_path: Path, description: str) -> None:
    out = tmp_path / "study"
    (out / "sub-01" / "anat").mkdir(parents=True)
    (out / "dataset_description.json").write_text(description)
    (out / "participants.tsv").write_text("participant_id\tage\nsub-01\t70\n")
    before = contents(out)
    with pytest.raises(StoreError, match="did not make"):
        export_nifti(store, out)
    assert contents(out) == before
    assert (out / "sub-01").is_dir()


def test_an_export_of_another_generator_is_refused(store: Store, tmp_path: Path) -> None:
    export_nifti(store, tmp_path / "out")
    other = Store.create(tmp_path / "other", StoreInfo.of(StandInGenerator(version=2)))
    before = contents(tmp_path / "out")
    with pytest.raises(StoreError, match="another generator"):
        export_nifti(other, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_cases_that_are_gone_leave_no_folder_behind(store: Store, tmp_path: Path) -> None:
    export_nifti(store, tmp_path / "out")
    gone = store.names()[0]
    shutil.rmtree(store.folder / "cases" / gone)
    assert export_nifti(store, tmp_path / "out") == 2
    with open(tmp_path / "out" / "participants.tsv") as file:
        listed = {row["participant_id"] for row in csv.DictReader(file, delimiter="\t")}
    assert {path.name for path in (tmp_path / "out").glob("sub-*")} == listed == {f"sub-{n}" for n in store.names()}


def test_a_foreign_subject_in_an_export_is_refused_and_kept(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_nifti(store, out)
    (out / "sub-01" / "anat").mkdir(parents=True)
    (out / "sub-01" / "anat" / "sub-01_T1w.nii.gz").write_bytes(b"mine")
    with pytest.raises(StoreError, match="sub-01"):
        export_nifti(store, out)
    assert (out / "sub-01" / "anat" / "sub-01_T1w.nii.gz").read_bytes() == b"mine"
