"""Datasets unlike the shipped generator's: what a fit plans for them, and figures that show where a pair is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.own_datasets import KINDS, TISSUES, measure, table, write_dataset
from synthaug.cli.app import run
from synthaug.fitting.cases import load_pair_case
from synthaug.fitting.dataset_survey import DatasetSurvey
from synthaug.fitting.fit_plan import plan_fit
from synthaug.fitting.guided_ldm_plan import guided_ldm_settings
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.labels import LabelScheme
from synthaug.store import Store, StoreInfo
from synthaug.volumes import LabeledVolume, read_pair
from synthaug.volumes.grid import Grid


@pytest.fixture
def trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    return tmp_path / "raw", tmp_path / "preprocessed"


def test_bodies_with_two_channels_in_thick_slices_are_planned(
    trees: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(KINDS["channels"], *trees, tmp_path)
    arguments = ["fit", str(KINDS["channels"].number), "--out", str(tmp_path / "out"), "--device", "cpu", "--dry-run"]
    assert run(arguments) == 0
    printed = capsys.readouterr()
    assert "split by intensity into 4 classes" in printed.err
    assert "organ, tumor" in printed.err


@pytest.mark.parametrize(("shift", "error"), [(0.0, 0.0), (30.0, 30.0)])
def test_pairs_are_measured_beside_the_training_cases(
    trees: tuple[Path, Path], tmp_path: Path, shift: float, error: float
) -> None:
    kind = KINDS["channels"]
    write_dataset(kind, *trees, tmp_path)
    found = NnunetDataset.find(kind.number)
    store = Store.create(tmp_path / "cache", StoreInfo(found.scheme, found.channels, "like the real ones", "0" * 64))
    for seed, name in enumerate(found.split(0)[0]):
        real = read_pair(found.cases[name].images, found.cases[name].label, found.scheme, found.channels)
        volumes_ml = real.volumes_ml()
        asked = {"requested_ml": {"organ": 2 * volumes_ml["organ"]}, "realised_ml": volumes_ml}
        provenance = {"generator_sha256": "0" * 64, "seed": seed, **asked}
        image = real.image + np.float32(shift)
        pair = LabeledVolume(image, real.label, real.affine, real.scheme, real.channels, provenance)
        assert store.add(name, pair)
    row = measure(kind, store.folder)
    assert row["volume_error"] == pytest.approx(0.5)
    assert row["intensity_error"] == pytest.approx(error, abs=1e-3)
    assert row["within_20"] == (4 if error < 20 else 0)
    assert row["structures"] == 2
    assert row["explained"] == pytest.approx(row["explained_in_real"], abs=1e-6)
    assert row["explained"] > 0.9
    shown = table({"channels": {**row, "fitted_s": 60, "grid": {"spacing_mm": [1.5, 1.5, 1.5]}}})
    assert "| two channels, thick slices | 5 | 1 min | 1.5 | 50.0% | 2 |" in shown


def test_fewer_cases_are_trained_on_and_as_many_held_out(trees: tuple[Path, Path], tmp_path: Path) -> None:
    write_dataset(replace(KINDS["channels"], training_cases=2), *trees, tmp_path)
    training, validation = NnunetDataset.find(KINDS["channels"].number).split(0)
    assert (len(training), len(validation)) == (2, 1)


def test_a_real_trunk_keeps_its_hounsfield_units_and_its_sides(
    trees: tuple[Path, Path], shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.own_datasets.TRUNKS", 2)
    kind = KINDS["trunk"]
    write_dataset(kind, *trees, shared_data)
    found = NnunetDataset.find(kind.number)
    paths = list(found.cases.values())
    survey = DatasetSurvey.of(paths, found.scheme, found.channels)
    assert survey.one_sided
    plan = plan_fit(survey, guided_ldm_settings, budget_seconds=3600).settings
    form = survey.form(Grid(plan.shape, (plan.spacing_mm,) * 3), plan.unlabelled_classes)
    case = load_pair_case(paths[0], form)
    assert case.image is not None
    (scale,) = case.scales
    image, label = scale.restore(case.image[0].numpy(), case.label.numpy() > 0), case.label.numpy()
    real = read_pair(paths[0].images, paths[0].label, found.scheme, found.channels)
    placed = form.label_of(real.label)
    compared = 0
    for structure in form.structures.structures:
        inside = placed == structure.id
        if inside.sum() < 1000:
            continue
        compared += 1
        here = image[label == structure.id].mean()
        assert here == pytest.approx(real.image[0][inside].mean(), abs=20), structure.name
    assert compared > 20
    assert replace(scale, background=0.0) == replace(form.scales[0], background=0.0)  # type: ignore[type-var]


def test_four_tissues_are_made_of_all_structures() -> None:
    members = [one for structures in TISSUES.values() for one in structures]
    assert sorted(members) == sorted(LabelScheme.load("ventricles-t1").names)
