"""``synthaug sample``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from synthaug.cli import app
from synthaug.cli.sample import parse_targets
from synthaug.errors import ConfigurationError
from synthaug.volumes import read_image, read_label
from tests.generators.real_cases import write_case

GENERATOR = "python:tests.stand_in_generator:make"


def sample(*arguments: str) -> int:
    """Run the command with the stand-in generator."""
    return app.run(["sample", "--generator", GENERATOR, *arguments])


def test_each_pair_is_two_nifti_files_and_their_provenance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample("--target", "ventricles=40", "--num", "2", "--seed", "7", "--out", str(tmp_path), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert len(facts["pairs"]) == 2
    for pair in facts["pairs"]:
        image, affine = read_image(Path(pair["image"]))
        label, label_affine = read_label(Path(pair["label"]))
        np.testing.assert_allclose(affine, label_affine)
        assert image.shape[1:] == label.shape
        ids = [labels["structures"][name] for name in labels["groups"]["ventricles"]]
        measured_ml = float(np.isin(label, ids).sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)
        assert measured_ml == pytest.approx(pair["realised_ml"]["ventricles"], abs=1e-3)
        assert measured_ml == pytest.approx(40, abs=1)
        provenance = json.loads(Path(pair["provenance"]).read_text())
        for key in ("seed", "requested_ml", "realised_ml", "seconds", "generator_sha256"):
            assert provenance[key] == pair[key]
        assert pair["requested_ml"] == {"ventricles": 40.0}
    assert facts["pairs"][0]["seed"] != facts["pairs"][1]["seed"]
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_makes_the_same_pairs(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        assert sample("--target", "ventricles=30", "--seed", "3", "--out", str(tmp_path / folder)) == 0
    (first,), (second,) = ([*(tmp_path / folder).glob("*_image.nii.gz")] for folder in ("a", "b"))
    assert first.name == second.name
    np.testing.assert_array_equal(read_image(first)[0], read_image(second)[0])


def test_a_schedule_draws_as_precompute_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from synthaug.precomputing import plan_requests
    from synthaug.schedules import parse_schedule
    from tests.stand_in_generator import make

    arguments = ["--schedule", "uniform:20:120", "--num", "3", "--seed", "5"]
    assert sample(*arguments, "--out", str(tmp_path), "--json") == 0
    pairs = json.loads(capsys.readouterr().out)["pairs"]
    planned = plan_requests(make(), parse_schedule("uniform:20:120"), num=3, seed=5)
    assert [pair["seed"] for pair in pairs] == [request.seed for request in planned]
    assert [pair["requested_ml"] for pair in pairs] == [dict(request.condition.targets_ml) for request in planned]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "ventricles=4000"], "150"),
        (["--target", "ventricels=40"], "ventricles"),
        (["--target", "ventricles"], "NAME=ML"),
        (["--target", "ventricles=40", "--num", "1000000000"], "1 to 1,000,000 pairs"),
        (["--target", "ventricles=40", "--schedule", "uniform:20:120"], "one of them"),
        ([], "one of them"),
        (["--target", "ventricles=40", "--cases", "a.nii.gz,b.nii.gz"], "a.nii.gz"),
        (["--target", "ventricles=40", "--scheme", "nope"], "--scheme nope"),
        (["--target", "ventricles=40", "--fold", "zz"], "--fold zz"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert sample(*arguments, "--out", str(out)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_folder_with_pairs_of_other_labels_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.json").write_text('{"structures": {"lung": 1}, "groups": {}}')
    assert sample("--target", "ventricles=40", "--out", str(tmp_path)) == 2
    assert "other labels" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["labels.json"]


def test_pairs_of_another_request_are_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample("--target", "ventricles=40", "--out", str(tmp_path)) == 0
    before = {path: path.read_bytes() for path in tmp_path.glob("*_*")}
    assert sample("--target", "ventricles=60", "--num", "2", "--out", str(tmp_path)) == 2
    error = capsys.readouterr().err
    assert "another --out or --seed" in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.glob("*_*")} == before
    assert sample("--target", "ventricles=40", "--num", "2", "--no-check", "--out", str(tmp_path)) == 0
    assert sample("--target", "ventricles=60", "--seed", "1", "--out", str(tmp_path)) == 0
    assert len([*tmp_path.glob("*_image.nii.gz")]) == 3


@pytest.mark.parametrize("command", ["sample", "evaluate", "precompute"])
@pytest.mark.parametrize("name", ["--guidance", "--guidance-scale"])
def test_the_guidance_has_both_names_in_every_command(
    command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run([command, name, "x", "--out", "o"]) == 2
    assert " x: " in capsys.readouterr().err


def test_the_table_shows_what_was_asked_for_and_realised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample("--target", "ventricles=40", "--check", "--out", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "requested" in printed
    assert "40.0" in printed


def test_a_target_given_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="once"):
        parse_targets(["ventricles=40", "ventricles=50"])


def test_a_case_is_changed_to_the_volume_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write_case(tmp_path, "subject", 3.0)
    case = ["--case", str(paths.images[0]), str(paths.label)]
    asked = ["--generator", "counterfactual", "--target", "ventricles=6", "--option", "fill=true"]
    assert app.run(["sample", *asked, *case, "--out", str(tmp_path / "out"), "--json"]) == 0
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    assert pair["realised_ml"]["ventricles"] == pytest.approx(6.0, abs=0.5)
    assert app.run(["sample", *asked, "--case", "nowhere.nii.gz", str(paths.label), "--out", str(tmp_path)]) == 2
    assert "nowhere.nii.gz is not there" in capsys.readouterr().err
