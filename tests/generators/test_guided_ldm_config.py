"""The configuration beside the weights: complete, and clear about what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthaug.anatomy import NormalRange, Trend
from synthaug.errors import SynthAugError
from synthaug.files.canonical_json import canonical_json
from synthaug.generators.config_file import CONFIG_NAME
from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from tests.generators.tiny_guided_ldm import tiny_config


def written(folder: Path, content: Any) -> Path:
    (folder / CONFIG_NAME).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def test_a_written_configuration_is_read_back_whole(tmp_path: Path) -> None:
    config = tiny_config()
    read = GuidedLDMConfig.read(written(tmp_path, canonical_json(config.to_dict())))
    assert read == config
    assert canonical_json(read.to_dict()) == canonical_json(config.to_dict())


def test_the_range_of_the_training_heads_is_read_back(tmp_path: Path) -> None:
    known = NormalRange({"thalamus": Trend(0.1, 2.5, 0.2)}, {("thalamus", "background"): Trend(0.0, 0.05, 0.03)})
    config = tiny_config(normal_range=known)
    assert GuidedLDMConfig.read(written(tmp_path, canonical_json(config.to_dict()))) == config


def test_the_file_states_units_orientation_null_condition_and_data(tmp_path: Path) -> None:
    content = json.loads(canonical_json(tiny_config().to_dict()))
    assert content["limits_ml"]["ventricles"] == [5.0, 150.0]
    assert content["grid"] == {"shape": [32, 32, 32], "spacing_mm": [4.0, 4.0, 4.0], "orientation": "RAS"}
    assert content["null_condition"]
    assert [case["identifier"] for case in content["training_cases"]] == ["case_a", "case_b"]


@pytest.mark.parametrize("key", ["scheme", "grid", "limits_ml", "mask_latent", "sampling", "training_cases"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    content = json.loads(canonical_json(tiny_config().to_dict()))
    del content[key]
    with pytest.raises(SynthAugError, match=key):
        GuidedLDMConfig.read(written(tmp_path, content))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("limits_ml", {"ventricles": [5.0]}),
        ("limits_ml", {"ventricles": ["low", "high"]}),
        ("scheme", {"name": "x"}),
        ("sampling", {"mask_steps": 5, "no_such_option": 1}),
        ("mask_latent", [1, 2]),
        ("format_version", 99),
    ],
)
def test_a_value_of_another_form_is_one_clear_line(tmp_path: Path, key: str, value: Any) -> None:
    content = {**json.loads(canonical_json(tiny_config().to_dict())), key: value}
    with pytest.raises(SynthAugError) as failure:
        GuidedLDMConfig.read(written(tmp_path, content))
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("no_such_key", 1, "unknown key 'no_such_key'"),
        (
            "format_version",
            5,
            "format_version is 5; this version of synthaug reads 6: fit or fetch it again, or install",
        ),
        ("format_version", 7, "format_version is 7; this version of synthaug reads 6: install the synthaug version"),
        ("name", 5, "name is 5"),
        ("channels", "T1", "channels is 'T1'"),
        ("licence", None, "licence is None"),
        ("grid", {"shape": [160, 192], "spacing_mm": [1, 1, 1]}, "grid.shape"),
        ("grid", {"shape": [32.5, 32, 32], "spacing_mm": [1, 1, 1]}, "grid.shape"),
        ("grid", {"shape": 32, "spacing_mm": [1, 1, 1]}, "grid.shape"),
        ("grid", {"shape": [32, 32, 32], "spacing_mm": [0, 1, 1]}, "grid.spacing_mm"),
        ("grid", {"shape": [32, 32, 32], "spacing_mm": [1, 1, 1], "orientation": "LPS"}, "grid.orientation is 'LPS'"),
        ("intensities", [], "intensities must hold 1 scale(s)"),
        ("intensities", [{"zero": 5.0, "one": 5.0}], "intensities must hold 1 scale(s)"),
        ("intensities", [{"zero": 0.0, "one": float("nan")}], "NaN is no finite number"),
        ("required_structures", ["ventricels"], "'ventricels'"),
        ("label_offsets", [[0.0]], "label_offsets must hold 14 rows"),
        ("label_offsets", [[0.0, 0.0]] * 14, "of 1 finite number(s), one for each channel"),
        ("label_offsets", [[0.0]] * 13, "label_offsets must hold 14 rows"),
        ("mask_latent", {"mean": [0.0, 0.0], "std": [1.0]}, "mask_latent has 2 values of mean and 1 of std"),
        ("mask_latent", {"mean": [0.0, 0.0], "std": [1.0, -1.0]}, "mask_latent"),
        ("image_latent", {"mean": [0.0, 0.0], "std": [1.0, 0.0]}, "image_latent"),
        ("limits_ml", {"ventricels": [5, 10]}, "'ventricels'"),
        ("limits_ml", {"ventricles": [50, 10]}, "limits_ml.ventricles is 50 to 10"),
        ("limits_ml", {}, "limits_ml is empty"),
        ("normal_range", {"volumes": {"thalamos": [0, 2.5, 0.1]}, "contacts": {}}, "'thalamos'"),
        ("normal_range", {"volumes": {"thalamus": [0, 2.5, 0]}, "contacts": {}}, "the reaches above 0"),
        ("normal_range", {"volumes": {"thalamus": [0, 2.5]}, "contacts": {}}, "not a configuration of guided-ldm"),
        ("normal_range", {"volumes": {"thalamus": "123"}, "contacts": {}}, "not a configuration of guided-ldm"),
        ("normal_range", {"volumes": {"thalamus": [0, 1e308, 1]}, "contacts": {}}, "up to 1e+06"),
        ("normal_range", {"volumes": {"thalamus": [0, 10**400, 1]}, "contacts": {}}, "not a configuration"),
        ("normal_range", {"volumes": {"background": [0, 2.5, 1]}, "contacts": {}}, "the background is no structure"),
        ("normal_range", {"volumes": {}, "contacts": {"csf": {"csf": [0, 0.5, 1]}}}, "csf with csf is no contact"),
        ("normal_range", {"volumes": {}, "contacts": {}, "more": {}}, "not a configuration of guided-ldm"),
        ("normal_range", [], "not a configuration of guided-ldm"),
        ("training_cases", [{"identifier": 5, "image_sha256": None, "label_sha256": None}], "training_cases"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_file(tmp_path: Path, key: str, value: Any, what: str) -> None:
    content = {**json.loads(canonical_json(tiny_config().to_dict())), key: value}
    with pytest.raises(SynthAugError) as failure:
        GuidedLDMConfig.read(written(tmp_path, content))
    assert str(tmp_path / CONFIG_NAME) in str(failure.value)
    assert what in str(failure.value)
    assert "\n" not in str(failure.value)


def test_the_shipped_configuration_is_read() -> None:
    shipped = Path(__file__).parents[2] / "pretrained" / "ventricles-t1-1mm"
    written_again = json.loads(canonical_json(GuidedLDMConfig.read(shipped).to_dict()))
    assert written_again == json.loads((shipped / CONFIG_NAME).read_text(encoding="utf-8"))


@pytest.mark.parametrize("content", ["{not json", "[1, 2]", '"text"'])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(SynthAugError, match=CONFIG_NAME):
        GuidedLDMConfig.read(written(tmp_path, content))
