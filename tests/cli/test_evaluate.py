"""``synthaug evaluate`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.cli.app import run
from synthaug.conditions import Condition
from synthaug.volumes import write_label
from tests.generators.tiny_guided_ldm import tiny_config, write_tiny_generator
from tests.raw_dataset import write_raw_dataset
from tests.stand_in_generator import StandInGenerator

STAND_IN = "python:tests.stand_in_generator:make"


@pytest.fixture
def label_maps(tmp_path: Path) -> Path:
    folder = tmp_path / "real"
    folder.mkdir()
    pairs = StandInGenerator().generate([Condition({"ventricles": volume}) for volume in (20.0, 30.0)], [0, 1])
    for index, pair in enumerate(pairs):
        write_label(folder / f"{index}_label.nii.gz", pair.label, pair.affine)
    return folder


def test_a_cache_is_evaluated_beside_real_label_maps(
    tmp_path: Path, label_maps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "report"
    make = ["--generator", STAND_IN, "--num", "3", "--schedule", "uniform:20:120", "--seed", "0", "--out", str(cache)]
    assert run(["precompute", *make, "--json"]) == 0
    capsys.readouterr()
    assert run(["evaluate", "--generated", str(cache), "--real", str(label_maps), "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == json.loads((out / "evaluation.json").read_text())
    generated = facts["generated"]
    assert (generated["cases"], generated["real_cases"]) == (3, 2)
    assert generated["control"]["ventricles"]["mae_percent"] < 1
    assert generated["volumes"]["ventricles"]["real"]["mean_ml"] == pytest.approx(25, abs=0.2)
    assert (out / "cache_control_ventricles.png").read_bytes().startswith(b"\x89PNG")
    assert "Structure volumes" in (out / "evaluation.md").read_text()


def test_real_cases_are_named_by_the_number_of_their_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    write_raw_dataset(tmp_path / "raw" / "Dataset501_Real", ["a", "b"])
    arguments = ["evaluate", "--generator", STAND_IN, "--control", "2", "--out", str(tmp_path / "out"), "--json"]
    assert run([*arguments, "--real", "501"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["control"]["ventricles"]["volumes"]["ventricles"]["real"]["mean_ml"] == pytest.approx(30, abs=0.2)
    for wrong, what in (("502", "there is none"), ("nowhere", "no such folder; give one of label maps")):
        assert run([*arguments[:-1], "--real", wrong]) == 2
        assert what in capsys.readouterr().err


def test_a_cache_with_a_truncated_image_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "report"
    make = ["--generator", STAND_IN, "--num", "2", "--schedule", "uniform:20:120", "--out", str(cache)]
    assert run(["precompute", *make]) == 0
    image = next(cache.glob("cases/*/image.b2nd"))
    image.write_bytes(image.read_bytes()[:-1])
    capsys.readouterr()
    assert run(["evaluate", "--generated", str(cache), "--out", str(out)]) == 2
    error = capsys.readouterr().err.strip()
    assert image.parent.name in error
    assert "\n" not in error
    assert not out.exists()


def test_control_samples_unfiltered_pairs_into_a_table_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "control"
    arguments = ["--generator", STAND_IN, "--control", "5", "--schedule", "log-uniform:8:120", "--seed", "4"]
    assert run(["evaluate", *arguments, "--out", str(out), "--json"]) == 0
    control = json.loads(capsys.readouterr().out)["control"]["ventricles"]
    assert control["count"] == len(control["pairs"]) == 5
    assert control["slope_through_origin"] == pytest.approx(1, abs=0.01)
    assert control["seed"] == 4
    assert json.loads((out / "control_ventricles.json").read_text()) == control
    assert (out / "control_ventricles.png").read_bytes().startswith(b"\x89PNG")
    assert "## Control of ventricles" in (out / "control_ventricles.md").read_text()


def test_without_a_schedule_targets_are_what_the_generator_allows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_tiny_generator(
        tmp_path / "weights", tiny_config(limits_ml={"thalamus": (2.0, 6.0), "brain": (900.0, 1700.0)})
    )
    arguments = ["--generator", str(weights), "--device", "cpu", "--control", "3"]
    assert run(["evaluate", *arguments, "--out", str(tmp_path / "out"), "--json"]) == 0
    control = json.loads(capsys.readouterr().out)["control"]
    low, high = control["thalamus"]["requested_range_ml"]
    assert 2 <= low < high <= 6


def test_each_structure_has_its_own_control_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, out = write_tiny_generator(tmp_path / "weights"), tmp_path / "control"
    asked = ["--schedule", "uniform:20:40", "--schedule", "brain=uniform:1000:1200"]
    arguments = ["--generator", str(weights), "--device", "cpu", "--control", "2", *asked]
    assert run(["evaluate", *arguments, "--out", str(out), "--json"]) == 0
    control = json.loads(capsys.readouterr().out)["control"]
    assert sorted(control) == ["brain", "ventricles"]
    assert control["brain"]["count"] == 2
    assert 1000 <= control["brain"]["requested_range_ml"][0] <= 1200
    text = (out / "evaluation.md").read_text()
    assert "## Control of brain" in text
    assert "## Control of ventricles" in text


def test_the_round_trip_of_held_out_maps_is_measured(
    tmp_path: Path, label_maps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_tiny_generator(tmp_path / "weights")
    arguments = ["--generator", str(weights), "--device", "cpu", "--round-trip", str(label_maps)]
    assert run(["evaluate", *arguments, "--out", str(tmp_path / "out"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["round_trip"]
    assert facts["held_out"] == 2
    assert 0 <= facts["mean_dice"] <= 1
    assert [trip["name"] for trip in facts["maps"]] == ["0_label", "1_label"]


def test_a_round_trip_of_a_dataset_with_other_labels_is_refused(
    tmp_path: Path, label_maps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_tiny_generator(tmp_path / "weights")
    label_maps.rename(tmp_path / "labelsTr")
    described = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "tumour": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    arguments = ["--generator", str(weights), "--device", "cpu", "--round-trip", str(tmp_path)]
    assert run(["evaluate", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert "--mapping" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to do"),
        (["--real", "."], "nothing to do"),
        (["--generated", "nowhere"], "is not a cache"),
        (["--control", "4", "--generator", "nobody"], "no generator 'nobody'"),
        (["--control", "4", "--generator", STAND_IN, "--schedule", "uniform:20:900"], "out of bounds"),
        (["--round-trip", ".", "--generator", STAND_IN], "no label-map autoencoder"),
        (["--control", "2", "--round-trip", ".", "--generator", STAND_IN], "no label-map autoencoder"),
        (["--round-trip", ".", "--label-mapping", "nothing"], "nothing"),
        (["--round-trip", ".", "--schedule", "uniform:20:40"], "--schedule: changes nothing here; give --control N"),
        (["--round-trip", ".", "--seed", "1"], "--seed: changes nothing here; give --control N"),
        (["--round-trip", ".", "--extrapolate"], "--extrapolate: changes nothing here"),
        (["--control", "2", "--label-mapping", "x"], "--mapping: changes nothing here"),
        (["--control", "2", "--schedule", "uniform:9:12", "--schedule", "uniform:9:20"], "each structure once"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    out = tmp_path / "out"
    assert run(["evaluate", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_file_in_the_place_of_the_folder_is_told_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "afile"
    file.touch()
    assert run(["evaluate", "--generator", STAND_IN, "--control", "2", "--out", str(file)]) == 2
    assert (
        capsys.readouterr().err
        == f"synthaug: --out {file}: is a file; give a folder, which is made if it is not there\n"
    )


def test_anatomy_of_control_pairs_and_of_a_cache_is_looked_at_beside_real_label_maps(
    tmp_path: Path, label_maps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "report"
    make = ["--generator", STAND_IN, "--num", "3", "--schedule", "uniform:20:30", "--out", str(cache)]
    assert run(["precompute", *make]) == 0
    capsys.readouterr()
    looked_at = ["--anatomy", "--real", str(label_maps), "--out", str(out)]
    assert run(["evaluate", "--generated", str(cache), *looked_at, "--json"]) == 0
    of_cache = json.loads(capsys.readouterr().out)["generated"]["anatomy"]
    assert (of_cache["count"], of_cache["real"]) == (3, 2)
    assert of_cache["shares"]["lateral_ventricles_whole"] == 1
    assert run(["evaluate", "--generator", STAND_IN, "--control", "6", *looked_at, "--json"]) == 0
    of_control = json.loads(capsys.readouterr().out)["control"]["ventricles"]["anatomy"]
    assert of_control["count"] == 6
    assert len(of_control["label_maps"]) == 6
    for picture in ("cache_worst_anatomy.png", "worst_anatomy_ventricles.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    assert run(["evaluate", "--anatomy", "--round-trip", str(label_maps), "--out", str(out)]) == 2
    assert "--anatomy: changes nothing here" in capsys.readouterr().err


def test_pairs_are_audited_for_memorisation_beside_seen_and_unseen_cases(
    tmp_path: Path, label_maps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (label_maps / "0_label.nii.gz").rename(label_maps / "case_a.nii.gz")  # a training case of the tiny generator
    weights, out = write_tiny_generator(tmp_path / "weights"), tmp_path / "out"
    asked = ["--generator", str(weights), "--device", "cpu", "--control", "2", "--schedule", "uniform:20:40"]
    audit = ["--memorisation", "--real", str(label_maps), "--out", str(out)]
    (label_maps / "1_label.nii.gz").rename(label_maps / "new.nii.gz")
    assert run(["evaluate", *asked, *audit, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["control"]["ventricles"]["memorisation"]
    assert set(found) == {"masks"}  # the real cases have no images
    masks = found["masks"]
    assert (masks["training_cases"], masks["held_out_cases"], masks["samples"]) == (1, 1, 2)
    assert "## Memorisation" in (out / "evaluation.md").read_text()
    assert run(["evaluate", *asked, "--memorisation", "--out", str(out)]) == 2
    assert "--memorisation: changes nothing here; give --real DIR" in capsys.readouterr().err


def test_images_are_compared_with_real_ones(
    tmp_path: Path, label_maps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_raw_dataset(tmp_path / "Dataset001_Heads", [f"head_{index}" for index in range(6)])
    out = tmp_path / "out"
    asked = ["--generator", STAND_IN, "--control", "2", "--out", str(out), "--fidelity"]
    assert run(["evaluate", *asked, "--real", str(tmp_path / "Dataset001_Heads"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["control"]["ventricles"]["fidelity"]
    assert (found["real_cases"], found["samples"]) == (6, 2)
    assert set(found["frechet_distance"]) == {"random convolutions", "image autoencoder"}
    assert found["intensity"]["cerebral_white_matter"]["sample_mean"] > found["intensity"]["csf"]["sample_mean"]
    assert "## Fidelity" in (out / "evaluation.md").read_text()
    assert run(["evaluate", *asked, "--real", str(label_maps)]) == 2  # label maps without images
    assert "0 real case(s) with an image among --real" in capsys.readouterr().err
    assert run(["evaluate", *asked]) == 2
    assert "--fidelity: changes nothing here; give --real DIR" in capsys.readouterr().err


def test_a_single_pair_is_one_pair(tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "report"
    assert (
        run(["precompute", "--generator", STAND_IN, "--num", "1", "--schedule", "uniform:20:120", "--out", str(cache)])
        == 0
    )
    assert run(["evaluate", "--generated", str(cache), "--out", str(out)]) == 0
    for name in ("evaluation.md", "report.html"):
        text = (out / name).read_text()
        assert "1 pairs" not in text
        assert "1 pair" in text
