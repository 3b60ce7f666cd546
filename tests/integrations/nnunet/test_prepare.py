"""What is decided about a training before there is a cache, and what a second preparation leaves as it was."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from synthaug.cli import served_training
from synthaug.cli.app import run
from synthaug.errors import ConfigurationError
from synthaug.integrations.nnunet import prepare, training_run
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.integrations.nnunet.prepare import TrainingRequest, prepare_training
from synthaug.integrations.nnunet.run_configuration import read_configuration
from synthaug.labels import LabelScheme
from synthaug.schedules import HistogramMatching, MissingVolumes
from synthaug.store import Store, StoreInfo
from synthaug.volumes import CaseRecord, write_label
from tests import stand_in_generator
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

SCHEME = LabelScheme.load("ventricles-t1")
BASE = ["precompute", "--generator", "python:tests.stand_in_generator:make", "--num", "1", "--device", "cpu"]
SPLITS = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["b", "c"], "val": ["a"]}]


@pytest.fixture
def preprocessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A planned dataset whose labels are the generator's, with a split and without raw data."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    folder = tmp_path / "preprocessed" / "Dataset007_Same"
    folder.mkdir(parents=True)
    labels = {"background": 0, **{name: number for number, name in enumerate(SCHEME.names, start=1)}}
    write(folder / "dataset.json", {"channel_names": {"0": "T1"}, "labels": labels, "file_ending": ".nii.gz"})
    plans = {"configurations": {"2d": {}, "3d_fullres": {}}, "image_reader_writer": "NibabelIOWithReorient"}
    write(folder / "nnUNetPlans.json", plans)
    write(folder / "splits_final.json", [{"train": ["a", "b"], "val": ["c"]}])
    return folder


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def without_plans(folder: Path) -> None:
    (folder / "nnUNetPlans.json").unlink()


def with_plans_of_nothing(folder: Path) -> None:
    write(folder / "nnUNetPlans.json", {})


def with_another_channel(folder: Path) -> None:
    write(folder / "dataset.json", {**json.loads((folder / "dataset.json").read_text()), "channel_names": {"0": "CT"}})


def with_a_case_that_was_seen(folder: Path) -> None:
    write(folder / "splits_final.json", [{"train": ["a", "b"], "val": ["seen"]}])


def with_a_case_in_both_parts(folder: Path) -> None:
    write(folder / "splits_final.json", [{"train": ["a", "b"], "val": ["c", "b"]}])


def read_as_pictures(folder: Path) -> None:
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    write(folder / "nnUNetPlans.json", {**plans, "image_reader_writer": "NaturalImage2DIO"})


def unchanged(folder: Path) -> None:
    """The mistake is on the command line."""


@pytest.mark.parametrize(
    ("change", "arguments", "what"),
    [
        (without_plans, [], "nnUNetPlans.json: not found"),
        (with_plans_of_nothing, [], "configurations"),
        (unchanged, ["--mix", "nonsense"], "nonsense"),
        (unchanged, ["--configuration", "nope"], "nope"),
        (unchanged, ["--fold", "9"], "fold 9"),
        (with_another_channel, [], "CT"),
        (with_a_case_that_was_seen, [], "seen"),
        (with_a_case_in_both_parts, [], "fold 0 of Dataset007_Same trains on 1 of its validation cases: b"),
        (read_as_pictures, [], "NaturalImage2DIO"),
    ],
)
def test_a_training_that_cannot_start_is_found_before_the_first_pair(
    preprocessed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Any,
    arguments: list[str],
    what: str,
) -> None:
    generator = StandInGenerator(training_cases=[CaseRecord("seen", None, None)])
    monkeypatch.setattr(stand_in_generator, "make", lambda **options: generator)
    change(preprocessed)
    assert run([*BASE, "--dataset", "7", *arguments]) == 2
    *progress, error = capsys.readouterr().err.strip().splitlines()
    assert what in error
    assert all("reading and fingerprinting" in line for line in progress)
    assert generator.calls == []
    assert not (preprocessed / "synthaug").exists()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Preparing without nnU-Net: no view is made."""
    view = SimpleNamespace(view=SimpleNamespace(folder=Path("view")))
    monkeypatch.setattr(prepare, "open_training", lambda *arguments, **more: view)


def cache(folder: Path, **generator: Any) -> Path:
    return Store.create(folder, StoreInfo.of(StandInGenerator(**generator))).folder


def settings(preprocessed: Path, **changed: Any) -> dict[str, Any]:
    """Edit the file by hand."""
    path = preprocessed / "synthaug.json"
    content = {**json.loads(path.read_text()), **changed}
    write(path, content)
    return content


@pytest.mark.usefixtures("opened")
def test_what_was_edited_by_hand_outlives_the_next_preparation(preprocessed: Path, tmp_path: Path) -> None:
    folder = cache(tmp_path / "cache")
    prepare_training(folder, 7, announce=print)
    table = {**dict.fromkeys(SCHEME.names, "csf"), **{name: name for name in SCHEME.names}, "csf": "cerebral_cortex"}
    edited = settings(preprocessed, mapping=table, mix="synthetic-then-real", seed=5, allow_missing_labels=["csf"])
    edited = settings(preprocessed, schedule="uniform:20:60")
    prepare_training(folder, 7, announce=print)
    found = json.loads((preprocessed / "synthaug.json").read_text())
    for setting in ("mapping", "mix", "seed"):
        assert found[setting] == edited[setting]
    assert found["schedule"]["low_ml"] == 20
    prepare_training(folder, 7, TrainingRequest(mix=0.25, seed=0, mapping={"csf": "csf"}), announce=print)
    found = json.loads((preprocessed / "synthaug.json").read_text())
    assert (found["mix"], found["mapping"]["csf"], found["seed"]) == ("mixed:0.25", "csf", 0)


def test_a_kept_schedule_of_volumes_that_cannot_be_made_is_found_before_the_first_pair(
    preprocessed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = StandInGenerator()
    monkeypatch.setattr(stand_in_generator, "make", lambda **options: generator)
    write(preprocessed / "synthaug.json", {"schedule": "uniform:500:600"})
    assert run([*BASE, "--dataset", "7"]) == 2
    error = capsys.readouterr().err.strip()
    assert "synthaug.json: its schedule (uniform) asks for ventricles out of bounds" in error
    assert "\n" not in error
    assert generator.calls == []
    assert not (preprocessed / "synthaug").exists()


@pytest.mark.usefixtures("opened")
def test_a_mapping_for_another_generator_that_does_not_fit_is_dropped_with_a_line(
    preprocessed: Path, tmp_path: Path
) -> None:
    prepare_training(cache(tmp_path / "first"), 7, announce=print)
    table = {**{name: name for name in SCHEME.names}, "lesion": "csf"}
    settings(preprocessed, mapping=table, schedule={"kind": "constant", "volume_ml": 3, "structure": "lesion"})
    lines: list[str] = []
    with pytest.raises(ConfigurationError, match="lesion"):  # the same generator: somebody's mistake, not ours to drop
        prepare_training(tmp_path / "first", 7, announce=lines.append)
    prepare_training(cache(tmp_path / "second", version=2), 7, announce=lines.append)
    assert any("mapping" in line and "lesion" in line for line in lines)
    assert any("schedule of lesion" in line for line in lines)
    found = json.loads((preprocessed / "synthaug.json").read_text())
    assert "lesion" not in found["mapping"]
    assert "schedule" not in found


def requested_ml(store: Store) -> list[float]:
    return [entry.requested_ml["ventricles"] for entry in store.entries()]


def with_label_maps(folder: Path, ventricles_ml: dict[str, float]) -> None:
    """What nnU-Net leaves beside the plans: here a block of one ventricle, in voxels of 1 mL."""
    for name, volume_ml in ventricles_ml.items():
        label = np.zeros((20, 10, 10), np.int16)
        label.reshape(-1)[: round(volume_ml)] = SCHEME.id_of("lateral_ventricle_left")
        write_label(folder / "gt_segmentations" / f"{name}.nii.gz", label, np.diag([10.0, 10.0, 10.0, 1.0]))


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("fold", [0, 1])
def test_no_real_case_decides_which_pairs_a_cache_holds(
    preprocessed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, fold: int
) -> None:
    """One cache serves all folds: volumes of one fold's training cases are another fold's validation cases'."""
    monkeypatch.setattr(served_training, "plans_forms", lambda *_: [])
    write(preprocessed / "splits_final.json", SPLITS)
    (preprocessed / "gt_segmentations").mkdir()
    with_label_maps(preprocessed, {"a": 22, "b": 25, "c": 110})
    count = ["--num", "6"]
    assert run([*BASE, *count, "--out", str(tmp_path / "uniform"), "--schedule", "uniform:20:120"]) == 0
    arguments = [*count, "--dataset", "7", "--fold", str(fold), "--schedule", "missing:20:120", "--ratio", "0.25"]
    assert run([*BASE, *arguments]) == 0
    range_of_fold = ("22.0 to 25.0", "25.0 to 110.0")[fold]
    assert f"2 training cases have {range_of_fold} mL of ventricles" in capsys.readouterr().err
    made = Store.open(preprocessed / "synthaug" / "cache")
    assert len(made) == 6
    assert requested_ml(made) == requested_ml(Store.open(tmp_path / "uniform"))
    # the wish is kept, not what one fold made of it
    kept = {"kind": "missing", "low_ml": 20, "high_ml": 120, "structure": "ventricles"}
    assert json.loads((preprocessed / "synthaug.json").read_text())["schedule"] == kept
    # the same wish asks for the same pairs again; a control arm of real cases alone keeps it
    assert run([*BASE, *arguments]) == 0
    assert len(made.entries()) == 6
    assert run([*BASE, "--dataset", "7", "--ratio", "0"]) == 0
    assert json.loads((preprocessed / "synthaug.json").read_text())["schedule"] == kept


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--schedule", "missing:20:999"], "999"),
        (["--schedule", "missing:20:120", "--ratio", "0"], "--ratio"),
        (["--schedule", "nothing=missing:20:120"], "nothing"),
    ],
)
def test_wishes_that_cannot_be_met_leave_nothing(
    preprocessed: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    (preprocessed / "gt_segmentations").mkdir()
    with_label_maps(preprocessed, {"a": 22, "b": 25, "c": 110})
    assert run([*BASE, "--dataset", "7", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert what in error
    assert "\n" not in error
    assert not (preprocessed / "synthaug").exists()


@pytest.mark.parametrize(("fold", "real_ml"), [(0, [22, 25]), (1, [25, 110])])
def test_what_a_fold_lacks_is_told_from_its_own_training_cases(
    preprocessed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fold: int, real_ml: list[float]
) -> None:
    write(preprocessed / "splits_final.json", SPLITS)
    (preprocessed / "gt_segmentations").mkdir()
    with_label_maps(preprocessed, {"a": 22, "b": 25, "c": 110})
    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator, (40.0, 80.0))
    # prepared for fold 0 and half of the cases synthetic; trained on either fold, with another share
    content = {"cache": str(store.folder), "schedule": "missing:20:120", "mix": "mixed:0.5"}
    write(preprocessed / "synthaug.json", content)
    found = NnunetDataset.find(7)
    view = SimpleNamespace(names=store.names, folder=Path("view"))
    monkeypatch.setattr(training_run, "view_of", lambda *arguments: view)
    lines: list[str] = []
    for share, expected in (("0.25", 0.25), ("0", None)):
        configuration = read_configuration(preprocessed, environment={"SYNTHAUG_RATIO": share})
        training, validation = found.split(fold)
        run_of_fold = training_run.open_training(
            found,
            configuration,
            plans=found.plans(),
            configuration_name="3d_fullres",
            fold=fold,
            training=training,
            validation=validation,
            announce=lines.append,
            build=False,
        )
        schedule = run_of_fold.source.schedule
        # a copy of what the training leaves serves any fold
        assert run_of_fold.configuration.schedule == MissingVolumes(20.0, 120.0)
        if expected is None:
            assert schedule is None  # nothing is drawn, and nothing has to be told
        else:
            assert isinstance(schedule, HistogramMatching)
            assert schedule.real_ml == pytest.approx(real_ml)
            assert schedule.fraction == expected
    assert sum("training cases have" in line for line in lines) == 1


@pytest.mark.usefixtures("opened")
def test_what_is_missing_cannot_be_told_from_label_maps_that_are_not_there(
    preprocessed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*BASE, "--dataset", "7", "--schedule", "missing:20:120"]) == 2
    assert "training case a has no label map" in capsys.readouterr().err
    assert not (preprocessed / "synthaug").exists()
