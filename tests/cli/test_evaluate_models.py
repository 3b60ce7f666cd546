"""``synthaug evaluate --extractor`` and ``--alignment``, from files to figures, text and page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from synthaug.cli.app import run
from synthaug.files.foreign_weights import file_sha256
from tests.hostile_generator import SCRIPT
from tests.parsed_page import ParsedPage
from tests.raw_dataset import write_raw_dataset
from tests.small_models import LABELS, medicalnet_state, write_monai_model, write_threshold_model

STAND_IN = "python:tests.stand_in_generator:make"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real") / "Dataset001_Heads"
    write_raw_dataset(folder, [f"head_{index}" for index in range(8)])
    return folder


def evaluated(out: Path, *arguments: object) -> tuple[ParsedPage, dict[str, Any], str]:
    """Page, figures and text."""
    assert run(["evaluate", *map(str, arguments), "--out", str(out), "--json"]) == 0
    page = ParsedPage.checked((out / "report.html").read_text())
    return page, json.loads((out / "evaluation.json").read_text()), (out / "evaluation.md").read_text()


def test_a_trained_extractor_stands_beside_those_that_ship(tmp_path: Path, real: Path) -> None:
    weights = tmp_path / "resnet_10.pth"
    torch.save(medicalnet_state(10), weights)
    asked = ("--generator", STAND_IN, "--control", 8, "--real", real, "--fidelity")
    page, facts, text = evaluated(tmp_path / "out", *asked, "--extractor", f"medicalnet={weights}")
    found = facts["control"]["ventricles"]["fidelity"]
    names = ["random convolutions", "image autoencoder", "MedicalNet ResNet-10"]
    for figure in ("frechet_distance", "kernel_distance", "precision", "recall"):
        assert list(found[figure]) == names
    assert found["extractors"]["MedicalNet ResNet-10"] == {
        "name": "medicalnet", "file": str(weights), "sha256": file_sha256(weights)
    }  # fmt: skip
    assert found["vectors"]["MedicalNet ResNet-10"] == {"samples": 8, "real": 8, "dimensions": 512}
    assert found["frechet_distance"]["MedicalNet ResNet-10"]["samples"] is None  # fewer vectors than dimensions
    one = found["kernel_distance"]["random convolutions"]["samples"]
    interval = found["intervals_95"]["kernel_distance"]["random convolutions"]
    assert interval["count"] == 8
    assert interval["low"] < one < interval["high"]
    for figure in ("precision", "recall"):
        assert all(0 <= found[figure][name][kind] <= 1 for name in names[::2] for kind in ("samples", "real"))
    assert "| precision, MedicalNet ResNet-10 |" in text
    for shown in ("kernel distance, MedicalNet ResNet-10", "recall, random convolutions", file_sha256(weights)):
        assert shown in page.text


def test_weights_of_alexnet_make_lpips_the_published_one(tmp_path: Path, real: Path) -> None:
    from torchvision.models import alexnet

    torch.manual_seed(0)
    weights = tmp_path / "alexnet.pth"
    torch.save(alexnet(weights=None).state_dict(), weights)
    asked = ("--generator", STAND_IN, "--control", 2, "--real", real, "--fidelity")
    _, facts, text = evaluated(tmp_path / "out", *asked, "--extractor", f"alexnet={weights}")
    found = facts["control"]["ventricles"]["fidelity"]
    assert found["lpips_network"] == {
        "title": "AlexNet", "name": "alexnet", "file": str(weights), "sha256": file_sha256(weights)
    }  # fmt: skip
    assert found["lpips"]["samples"] > 0
    assert list(found["frechet_distance"]) == ["random convolutions", "image autoencoder"]
    assert "| LPIPS (AlexNet) between two images |" in text


def test_without_the_option_the_extractors_are_the_two_that_ship(tmp_path: Path, real: Path) -> None:
    asked = ("--generator", STAND_IN, "--control", 2, "--real", real, "--fidelity")
    _, facts, _ = evaluated(tmp_path / "out", *asked)
    assert facts["control"]["ventricles"]["fidelity"]["extractors"] == {
        "random convolutions": {}, "image autoencoder": {}
    }  # fmt: skip


def test_two_networks_are_asked_about_pairs_and_real_cases(tmp_path: Path, real: Path) -> None:
    one = write_monai_model(tmp_path / "one")
    # white matter is what is brightest in the stand-in's heads: above 0.85 of the 99.5th percentile
    labels = {"background": 0, "cerebral_white_matter": 1}
    other = write_threshold_model(tmp_path / "other", threshold=0.85)
    other.write_text(json.dumps({**json.loads(other.read_text()), "labels": labels}))
    other = other.rename(tmp_path / "other" / "bright.json")
    asked = ("--generator", STAND_IN, "--control", 9, "--real", real, "--alignment", one, "--alignment", other)
    page, facts, text = evaluated(tmp_path / "out", *asked)
    found = facts["control"]["ventricles"]["alignment"]
    assert list(found) == ["segmenter", "bright"]
    assert (found["segmenter"]["samples"], found["segmenter"]["real_cases"]) == (9, 8)
    assert list(found["segmenter"]["dice"]) == [name for name in LABELS if name != "background"]
    assert [row["samples"] for row in found["segmenter"]["terciles"]] == [3, 3, 3]
    weights = str(tmp_path / "one" / "weights.safetensors")
    assert found["segmenter"]["model"]["weights"] == {weights: file_sha256(Path(weights))}
    bright = found["bright"]["mean_dice"]
    assert bright["samples"] > 0.7
    assert bright["intervals_95"]["ratio"]["low"] < bright["ratio"] < bright["intervals_95"]["ratio"]["high"]
    assert 0.9 < bright["ratio"] < 1.1
    assert found["bright"]["structure"] is None
    assert "does not tell all of ventricles from other structures: its volume is not measured" in text
    lowest = [pair["name"] for pair in found["bright"]["pairs"][:3]]
    section = page.text.partition("Lowest agreement of image and label map")[2]
    assert re.findall(r"^\d{3}$", section, re.MULTILINE)[:3] == [
        pair["name"] for pair in found["segmenter"]["pairs"][:3]
    ]
    assert len(lowest) == 3
    for line in ("Alignment by segmenter", "Alignment by bright", "cannot be known", "ratio"):
        assert line in page.text
        assert line in text
    assert "of that on real cases (95 % interval" in page.text


def test_a_cache_is_asked_about_without_real_cases(tmp_path: Path) -> None:
    cache, model = tmp_path / "cache", write_monai_model(tmp_path / "model")
    make = ["--generator", STAND_IN, "--num", "3", "--schedule", "uniform:20:120", "--out", str(cache)]
    assert run(["precompute", *make]) == 0
    _, facts, text = evaluated(tmp_path / "out", "--generated", cache, "--alignment", model)
    found = facts["generated"]["alignment"]["segmenter"]
    assert (found["samples"], found["real_cases"], found["structure"]) == (3, 0, "ventricles")
    assert found["mean_dice"]["ratio"] is None
    assert "No real cases with an image were given" in text
    assert {pair["name"] for pair in found["pairs"]} == {one.name for one in (cache / "cases").iterdir()}
    assert "## Alignment by segmenter" in text


def test_an_nnunet_folder_with_a_mapping_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.integrations.nnunet.test_trained_model import write_model

    folder, table, out = write_model(tmp_path / "results"), tmp_path / "table.json", tmp_path / "out"
    asked = ("--generator", STAND_IN, "--control", 2, "--device", "cpu", "--alignment", folder)
    assert run(["evaluate", *map(str, asked), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "its labels cannot be mapped onto the pairs' structures" in error
    assert "--alignment-mapping FILE" in error
    assert error.count("\n") == 1
    assert not out.exists()
    table.write_text(json.dumps({"third_ventricle": "brain", "fourth_ventricle": "brain", "csf": "background"}))
    _, facts, _ = evaluated(out, *asked, "--alignment-mapping", table)
    (found,) = facts["control"]["ventricles"]["alignment"].values()
    assert list(found["dice"]) == ["brain", "lateral_ventricle_left", "lateral_ventricle_right"]
    assert found["model"]["folds"] == ["0"]
    assert found["structure"] == "ventricles"
    assert "that of lateral_ventricle_left, lateral_ventricle_right alone" in found["model"]["notes"][-1]
    for pair in found["pairs"]:  # asked for: ventricles; those of the lateral ones are 0.96 of them in the stand-in
        asked_ml = facts["control"]["ventricles"]["pairs"][int(pair["name"])]["realised_ml"]
        assert pair["volume_ml"] == pytest.approx(0.96 * asked_ml, rel=0.05)


def test_hostile_names_of_models_and_labels_are_text(tmp_path: Path) -> None:
    model = write_monai_model(tmp_path / "model")
    content = json.loads(model.read_text())
    hostile = model.with_name('"><img src=x onerror=alert(1)>.json')
    hostile.write_text(json.dumps({**content, "labels": {"background": 0, SCRIPT: 1}}))
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"thalamus": SCRIPT}))
    asked = ("--generator", STAND_IN, "--control", 2, "--alignment", hostile, "--alignment-mapping", table)
    page, _, _ = evaluated(tmp_path / "out", *asked)  # ParsedPage.checked refuses foreign markup
    assert f"Alignment by {hostile.stem}" in page.text
    assert SCRIPT in page.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--extractor", "medicalnet=x.pth"], "--extractor: changes nothing here; give --fidelity too"),
        (["--fidelity", "--real", "REAL", "--extractor", "mednet=x"], "did you mean 'medicalnet'"),
        (["--fidelity", "--real", "REAL", "--extractor", "inception=x.pth"], "x.pth: no such file"),
        (["--alignment", "nowhere"], "--alignment nowhere: no such model"),
        (["--alignment", "REAL"], "plans.json is not in"),
        (["--alignment-mapping", "x.json"], "--alignment-mapping: changes nothing here; give --alignment MODEL"),
        (["--alignment", "REAL", "--alignment-mapping", "x.json"], "--alignment-mapping x.json: cannot be read"),
        (["--alignment", "MODEL", "--alignment", "MODEL"], "another model has the name segmenter"),
        (["--alignment", "CT"], "takes the channels CT, the pairs have T1"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(
    tmp_path: Path, real: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    places = {
        "REAL": real,
        "MODEL": write_monai_model(tmp_path / "model"),
        "CT": write_monai_model(tmp_path / "ct", channels=["CT"]),
    }
    given = [str(places.get(word, word)) for word in arguments]
    out = tmp_path / "out"
    assert run(["evaluate", "--generator", STAND_IN, "--control", "2", *given, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_alignment_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = write_monai_model(tmp_path / "model"), tmp_path / "out"
    shutil.copytree(tmp_path / "model", tmp_path / "maps")
    asked = ["--round-trip", str(tmp_path / "maps"), "--alignment", str(model), "--out", str(out)]
    assert run(["evaluate", *asked]) == 2
    assert "--alignment: changes nothing here; give --generated CACHE or --control N" in capsys.readouterr().err
