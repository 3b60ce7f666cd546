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
from synthaug.integrations.nnunet.raw_export import export_nnunet
from synthaug.store import Store, StoreInfo, nifti_export
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


def interrupt_at(monkeypatch: pytest.MonkeyPatch, case: int) -> None:
    original, begun = nifti_export._case, []

    def interrupted(*arguments: object) -> None:
        begun.append(arguments)
        if len(begun) == case:
            raise KeyboardInterrupt
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(nifti_export, "_case", interrupted)


def test_an_interrupted_export_is_no_data_set_yet_and_goes_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    interrupt_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        export_nifti(store, out)
    assert len(list(out.glob("sub-*"))) == 1
    assert not {"participants.tsv", "dataset_description.json"} & {path.name for path in out.iterdir()}
    monkeypatch.undo()
    times = {path: path.stat().st_mtime_ns for path in out.glob("sub-*/anat/*.nii.gz")}
    assert export_nifti(store, out) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    whole = contents(out)
    interrupt_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        export_nifti(store, out)
    assert not (out / "participants.tsv").exists()
    monkeypatch.undo()
    export_nifti(store, out)
    assert contents(out) == whole


def test_an_export_without_a_record_goes_on_as_earlier_releases_left_them(store: Store, tmp_path: Path) -> None:
    export_nifti(store, tmp_path / "out")
    (tmp_path / "out" / "synthaug_export.json").unlink()
    assert export_nifti(store, tmp_path / "out") == 3


def test_an_export_in_another_form_is_refused(store: Store, tmp_path: Path) -> None:
    export_nnunet(store, tmp_path / "Dataset901_Synthetic")
    before = contents(tmp_path / "Dataset901_Synthetic")
    with pytest.raises(StoreError, match="in the form 'nnunet'"):
        export_nifti(store, tmp_path / "Dataset901_Synthetic")
    assert contents(tmp_path / "Dataset901_Synthetic") == before


@pytest.mark.parametrize("damage", [b"", b"x", None])
def test_a_damaged_image_is_written_anew(store: Store, tmp_path: Path, damage: bytes | None) -> None:
    export_nifti(store, tmp_path / "out")
    before = contents(tmp_path / "out")
    image = next(path for path in before if path.name.endswith("_T1w.nii.gz"))
    image.write_bytes(before[image][:-9] if damage is None else damage)
    export_nifti(store, tmp_path / "out")
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("place", ["", "anat"])
def test_a_linked_subject_is_refused_and_nothing_behind_it_changes(store: Store, tmp_path: Path, place: str) -> None:
    export_nifti(store, tmp_path / "out")
    folder = tmp_path / "out" / f"sub-{store.names()[0]}" / place
    folder.rename(tmp_path / "mine")
    folder.symlink_to(tmp_path / "mine")
    mine = tmp_path / "mine" / "anat" if not place else tmp_path / "mine"
    (mine / "note.txt").write_text("mine")
    next(mine.glob("*_T1w.nii.gz")).write_bytes(b"mine")
    before = contents(tmp_path / "mine")
    with pytest.raises(StoreError, match="is a symbolic link"):
        export_nifti(store, tmp_path / "out")
    assert contents(tmp_path / "mine") == before
    assert (tmp_path / "out" / "dataset_description.json").exists()


@pytest.mark.parametrize("out", ["views", "new", "cases/new", "."])
def test_a_folder_within_the_cache_is_refused(store: Store, tmp_path: Path, out: str) -> None:
    (tmp_path / "alias").symlink_to(store.folder)
    before = sorted(store.folder.rglob("*"))
    for folder in (store.folder, tmp_path / "alias"):
        with pytest.raises(StoreError, match="lies within the cache"):
            export_nifti(store, folder / out)
    assert sorted(store.folder.rglob("*")) == before


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
    with pytest.raises(StoreError, match="did not write"):
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
