"""The raw data set is one that nnU-Net itself finds nothing wrong with."""

from __future__ import annotations

import json
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nibabel.nifti1 import load

from synthaug.cli.app import run
from synthaug.errors import ConfigurationError, LabelError, StoreError
from synthaug.integrations.nnunet import raw_export
from synthaug.integrations.nnunet.raw_export import RawLabels, export_nnunet
from synthaug.labels import LabelScheme
from synthaug.labels.structure import Structure
from synthaug.store import Store, StoreInfo
from synthaug.volumes import CaseRecord
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

OUT = "Dataset901_Synthetic"


def make_store(folder: Path, **of_generator: Any) -> Store:
    generator = StandInGenerator(**of_generator)
    store = Store.create(folder, StoreInfo.of(generator))
    fill(store, generator)
    return store


def gapped_scheme() -> LabelScheme:
    """The structures of the stand-in with ids as FreeSurfer has them: with gaps, in no order, one to be ignored."""
    full = LabelScheme.load("ventricles-t1")
    ids = {name: 1000 - 37 * place for place, name in enumerate(full.names)}
    structures = tuple(Structure(one.name, ids[one.name], one.mirror) for one in full.structures)
    return LabelScheme("gapped", structures, full.groups, ignore_id=77)


@pytest.mark.parametrize("regions", [None, True])
def test_nnunets_own_check_finds_nothing_wrong(
    tmp_path: Path, regions: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnunetv2.experiment_planning import verify_dataset_integrity as module

    # threads in place of processes, each of which would import torch first
    threads = SimpleNamespace(get_context=lambda method: SimpleNamespace(Pool=ThreadPool))
    monkeypatch.setattr(module, "multiprocessing", threads)
    store = make_store(tmp_path / "cache", scheme=gapped_scheme(), channels=("T1", "FLAIR"))
    assert export_nnunet(store, tmp_path / OUT, regions=regions) == 3
    module.verify_dataset_integrity(str(tmp_path / OUT), num_processes=1)
    described = json.loads((tmp_path / OUT / "dataset.json").read_text())
    assert described["channel_names"] == {"0": "T1", "1": "FLAIR"}
    assert described["numTraining"] == 3
    assert described["labels"]["ignore"] == 14
    raw = RawLabels.of(store.info.scheme)
    for name in store.names():
        pair = store.read(name)
        label = load(tmp_path / OUT / "labelsTr" / f"{name}.nii.gz")
        np.testing.assert_allclose(label.affine, pair.affine)
        np.testing.assert_array_equal(np.asarray(label.dataobj), raw.apply(pair.label))
        for channel in range(2):
            image = load(tmp_path / OUT / "imagesTr" / f"{name}_{channel:04d}.nii.gz")
            np.testing.assert_allclose(image.affine, pair.affine)
            np.testing.assert_array_equal(np.asarray(image.dataobj), pair.image[channel])


def test_what_the_generator_was_fitted_on_goes_along(tmp_path: Path) -> None:
    store = make_store(tmp_path / "cache", training_cases=[CaseRecord("patient_7", "0" * 64, "1" * 64)])
    export_nnunet(store, tmp_path / OUT)
    (told,) = json.loads((tmp_path / OUT / "synthaug_export.json").read_text())["fitted_on"]
    assert told == {"identifier": "patient_7", "image_sha256": "0" * 64, "label_sha256": "1" * 64}


def test_labels_keep_their_meaning_without_a_gap() -> None:
    scheme = gapped_scheme()
    raw = RawLabels.of(scheme)
    assert list(raw.labels.values()) == list(range(len(scheme.names) + 2))
    label = np.array([[[0, 77, *scheme.ids]]], np.int16)
    found = raw.apply(label).ravel().tolist()
    assert found == [0, raw.labels["ignore"], *(raw.labels[name] for name in scheme.names)]


def tumour() -> LabelScheme:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    return LabelScheme.from_nnunet({"labels": labels, "name": "brats"})


def test_a_data_set_that_was_of_regions_is_one_again() -> None:
    raw = RawLabels.of(tumour())
    assert raw.labels == {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}
    assert raw.regions_class_order == (1, 2, 3)


@pytest.mark.parametrize("scheme", [tumour(), LabelScheme.load("ventricles-t1")], ids=["brats", "ventricles-t1"])
def test_regions_written_over_one_another_give_the_label_map(scheme: LabelScheme) -> None:
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    raw = RawLabels.of(scheme, regions=True)
    manager = LabelManager(dict(raw.labels), regions_class_order=list(raw.regions_class_order or ()))
    label = np.arange(len(scheme.names) + 1).reshape(1, 1, -1)
    probabilities = np.stack([np.isin(label, region).astype(np.float32) for region in manager.foreground_regions])
    np.testing.assert_array_equal(manager.convert_probabilities_to_segmentation(probabilities), label)


def test_regions_that_cannot_be_told_apart_are_refused() -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [3]}
    with pytest.raises(LabelError, match="2 labels that are in no smaller region"):
        RawLabels.of(LabelScheme.from_nnunet({"labels": labels, "name": "x"}))
    alone = LabelScheme("plain", (Structure("liver", 1),))
    assert RawLabels.of(alone).regions_class_order is None
    with pytest.raises(LabelError, match="no groups"):
        RawLabels.of(alone, regions=True)


def test_an_interrupted_export_is_no_data_set_yet_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "cache")
    written: list[Path] = []

    def interrupted(path: Path, *rest: object, **options: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        original(path, *rest, **options)  # type: ignore[arg-type]

    original = raw_export.write_image
    monkeypatch.setattr(raw_export, "write_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_nnunet(store, tmp_path / OUT)
    assert not (tmp_path / OUT / "dataset.json").exists()
    assert not [path for path in (tmp_path / OUT).rglob("*") if path.name.endswith(".tmp")]
    monkeypatch.setattr(raw_export, "write_image", original)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / OUT / "labelsTr").iterdir()}
    assert export_nnunet(store, tmp_path / OUT) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert len(list((tmp_path / OUT / "imagesTr").iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "other numbers", "link"])
@pytest.mark.parametrize("place", ["labelsTr/{}.nii.gz", "imagesTr/{}_0000.nii.gz"])
def test_a_damaged_file_is_written_anew_and_whole_ones_are_kept(tmp_path: Path, place: str, damage: str) -> None:
    store = make_store(tmp_path / "cache")
    export_nnunet(store, tmp_path / OUT)
    files = [path for folder in ("imagesTr", "labelsTr") for path in (tmp_path / OUT / folder).iterdir()]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    path = tmp_path / OUT / place.format(store.names()[0])
    content = path.read_bytes()
    if damage == "link":
        path.rename(tmp_path / "mine.nii.gz")
        path.symlink_to(tmp_path / "mine.nii.gz")
    else:
        other = (path.parent / path.name.replace(store.names()[0], store.names()[1])).read_bytes()
        path.write_bytes({"cut": content[:-20], "empty": b"", "other numbers": other}[damage])
    assert export_nnunet(store, tmp_path / OUT) == 3
    assert not path.is_symlink()
    assert all(one.read_bytes() == bytes_before for one, (bytes_before, _) in before.items())
    assert all(one.stat().st_mtime_ns == time for one, (_, time) in before.items() if one != path)


@pytest.mark.parametrize("place", ["imagesTr", "labelsTr"])
def test_a_linked_folder_is_refused_and_nothing_behind_it_changes(tmp_path: Path, place: str) -> None:
    store = make_store(tmp_path / "cache")
    export_nnunet(store, tmp_path / OUT)
    (tmp_path / OUT / place).rename(tmp_path / "mine")
    (tmp_path / OUT / place).symlink_to(tmp_path / "mine")
    store.remove(store.names()[0])
    before = {path: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    with pytest.raises(StoreError, match=f"{place}: is a symbolic link"):
        export_nnunet(store, tmp_path / OUT)
    assert {path: path.read_bytes() for path in (tmp_path / "mine").iterdir()} == before
    assert (tmp_path / OUT / "dataset.json").exists()


def test_cases_that_are_gone_leave_the_data_set(tmp_path: Path) -> None:
    store = make_store(tmp_path / "cache")
    export_nnunet(store, tmp_path / OUT)
    gone = store.names()[0]
    store.remove(gone)
    assert export_nnunet(store, tmp_path / OUT) == 2
    assert not [path for path in (tmp_path / OUT).rglob("*") if gone in path.name]
    assert json.loads((tmp_path / OUT / "dataset.json").read_text())["numTraining"] == 2


@pytest.mark.parametrize("foreign", ["imagesTr/mine_0000.nii.gz", "labelsTr/mine.nii.gz", "notes.txt", "dataset.json"])
def test_a_data_set_with_files_of_the_users_own_is_refused_and_untouched(tmp_path: Path, foreign: str) -> None:
    store = make_store(tmp_path / "cache")
    if foreign != "dataset.json":
        export_nnunet(store, tmp_path / OUT)
    (tmp_path / OUT).mkdir(exist_ok=True)
    (tmp_path / OUT / foreign).write_text("mine")
    before = {path: path.read_bytes() for path in (tmp_path / OUT).rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match="did not write"):
        export_nnunet(store, tmp_path / OUT)
    assert {path: path.read_bytes() for path in (tmp_path / OUT).rglob("*") if path.is_file()} == before


def test_other_labels_channels_or_generators_are_refused(tmp_path: Path) -> None:
    export_nnunet(make_store(tmp_path / "cache"), tmp_path / OUT)
    with pytest.raises(StoreError, match="another generator"):
        export_nnunet(make_store(tmp_path / "other", version=2), tmp_path / OUT)
    with pytest.raises(StoreError, match="other labels"):
        export_nnunet(Store.open(tmp_path / "cache"), tmp_path / OUT, regions=True)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_store(tmp_path / "cache")
    arguments = ["cache", "export", str(tmp_path / "cache"), "--format", "nnunet", "--out"]
    assert run([*arguments, str(tmp_path / "wrong")]) == 2
    assert "DatasetXXX_Name" in capsys.readouterr().err
    assert not (tmp_path / "wrong").exists()
    assert run([*arguments, str(tmp_path / OUT)]) == 0
    assert "3 cases written" in capsys.readouterr().out
    assert run([*arguments, str(tmp_path / "cache" / "views" / OUT)]) == 2
    assert "lies within the cache" in capsys.readouterr().err
    assert run(["cache", "export", str(tmp_path / "cache"), "--regions", "--out", str(tmp_path / "x")]) == 2


def test_an_empty_cache_makes_no_data_set(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "cache", StoreInfo.of(StandInGenerator()))
    with pytest.raises(StoreError, match="empty"):
        export_nnunet(store, tmp_path / OUT)
    assert not (tmp_path / OUT).exists()
    with pytest.raises(ConfigurationError, match="Dataset901"):
        export_nnunet(store, tmp_path / "Dataset9_x")
