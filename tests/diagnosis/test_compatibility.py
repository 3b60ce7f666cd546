"""Whether pairs fit a data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from synthaug.diagnosis import data
from synthaug.diagnosis.compatibility import PairForm, check_fit
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.store import Store, StoreInfo
from synthaug.volumes import CaseRecord
from tests.raw_dataset import write_raw_dataset
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

NAMES = [f"case_{number}" for number in range(5)]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NnunetDataset:
    """Five heads with plans of 4 mm."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    write_raw_dataset(tmp_path / "raw" / "Dataset501_Heads", NAMES)
    write_plans(tmp_path / "preprocessed" / "Dataset501_Heads", spacing_mm=4.0, patch=32)
    return NnunetDataset.find("501")


def write_plans(folder: Path, *, spacing_mm: float, patch: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    planned = {"spacing": [spacing_mm] * 3, "patch_size": [patch] * 3, "batch_size": 2}
    (folder / "nnUNetPlans.json").write_text(json.dumps({"configurations": {"3d_fullres": planned}}))


@pytest.fixture
def form() -> PairForm:
    return data.form_of_generator(StandInGenerator())


def found(form: PairForm, dataset: NnunetDataset, fold: int | str = 0) -> dict[str, tuple[str, str]]:
    """Status and mend by the name of the finding."""
    return {check.name: (check.status, check.mend) for check in check_fit(form, dataset, fold)}


def test_what_fits_is_ok_throughout(form: PairForm, dataset: NnunetDataset) -> None:
    statuses = {name: status for name, (status, _) in found(form, dataset).items()}
    assert statuses == dict.fromkeys(("labels", "channels", "spacing", "field of view", "leakage"), "ok")


def test_another_contrast_is_mended_by_a_fit_of_ones_own(form: PairForm, dataset: NnunetDataset) -> None:
    flair = replace(form, made_by=replace(form.made_by, channels=("FLAIR",)))
    status, mend = found(flair, dataset)["channels"]
    assert status == "failed"
    assert mend.startswith("synthaug fit 501 --fold 0")


def test_a_label_without_structure_is_mended_by_a_mapping(form: PairForm, dataset: NnunetDataset) -> None:
    assert dataset.raw is not None
    path = dataset.raw / "dataset.json"
    description = json.loads(path.read_text())
    description["labels"]["tumour"] = 99
    path.write_text(json.dumps(description))
    status, mend = found(form, NnunetDataset.find("501"))["labels"]
    assert status == "failed"
    assert "--mapping" in mend


def test_coarse_and_small_pairs_are_warned_of(form: PairForm, dataset: NnunetDataset) -> None:
    write_plans(dataset.preprocessed, spacing_mm=2.0, patch=32)
    assert found(form, dataset)["spacing"][0] == "warning"
    write_plans(dataset.preprocessed, spacing_mm=4.0, patch=96)
    assert found(form, dataset)["field of view"][0] == "warning"


def test_a_generator_that_has_seen_a_validation_case_fails_for_that_fold_alone(
    form: PairForm, dataset: NnunetDataset
) -> None:
    training, validation = dataset.split(0)
    leaking = replace(form, made_by=replace(form.made_by, training_cases=(CaseRecord(validation[0], None, None),)))
    status, mend = found(leaking, dataset)["leakage"]
    assert status == "failed"
    assert "--fold 0" in mend
    sound = replace(form, made_by=replace(form.made_by, training_cases=(CaseRecord(training[0], None, None),)))
    assert found(sound, dataset)["leakage"][0] == "ok"
    assert found(sound, dataset, "all")["leakage"][0] == "ok"


def test_a_fold_that_trains_on_a_validation_case_fails(form: PairForm, dataset: NnunetDataset) -> None:
    training, validation = dataset.split(0)
    splits = [{"train": [*training, validation[0]], "val": validation}]
    (dataset.preprocessed / "splits_final.json").write_text(json.dumps(splits))
    status, mend = found(form, dataset)["leakage"]
    assert status == "failed"
    assert "splits_final.json" in mend


def test_a_cache_of_other_weights_cannot_be_continued(form: PairForm, tmp_path: Path) -> None:
    other = StandInGenerator(version=2)
    store = Store.create(tmp_path / "cache", StoreInfo.of(other))
    fill(store, other)
    cached = data.form_of_cache(tmp_path / "cache")
    assert cached is not None
    assert cached.spacing_mm == pytest.approx((4.0, 4.0, 4.0))
    (check,) = data.check_together(None, 0, form, cached)
    assert check.status == "warning"
    assert "--out ANOTHER" in check.mend
    (same,) = data.check_together(None, 0, data.form_of_generator(other), cached)
    assert same.status == "ok"


def test_shared_memory_is_measured_by_the_batch_of_the_plans(dataset: NnunetDataset) -> None:
    assert data.batch_bytes("501") == 2 * 32**3 * (4 + 2)
    assert data.batch_bytes("999") is None
