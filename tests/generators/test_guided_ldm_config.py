"""The configuration beside the weights: complete, and clear about what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import SynthAugError
from synthaug.files.canonical_json import canonical_json
from synthaug.generators.guided_ldm_config import CONFIG_NAME, GuidedLDMConfig
from tests.generators.tiny_guided_ldm import tiny_config


def written(folder: Path, content: Any) -> Path:
    (folder / CONFIG_NAME).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def test_a_written_configuration_is_read_back_whole(tmp_path: Path) -> None:
    config = tiny_config()
    read = GuidedLDMConfig.read(written(tmp_path, canonical_json(config.to_dict())))
    assert read == config
    assert canonical_json(read.to_dict()) == canonical_json(config.to_dict())


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


@pytest.mark.parametrize("content", ["{not json", "[1, 2]", '"text"'])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(SynthAugError, match=CONFIG_NAME):
        GuidedLDMConfig.read(written(tmp_path, content))


def test_a_folder_without_configuration_says_so(tmp_path: Path) -> None:
    with pytest.raises(SynthAugError, match="is missing"):
        GuidedLDMConfig.read(tmp_path)
