"""synthaug.json, the environment and the trainer's own mix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import ConfigurationError
from synthaug.integrations.nnunet.run_configuration import (
    CaseHashes,
    Prepared,
    RunConfiguration,
    read_configuration,
    write_configuration,
)
from synthaug.schedules import parse_mix, parse_schedule


def read(folder: Path, content: dict[str, Any] | None, mix: str | None = None, **environment: str) -> RunConfiguration:
    if content is not None:
        (folder / "synthaug.json").write_text(json.dumps(content))
    return read_configuration(folder, environment, mix)


def test_without_a_file_half_of_the_draws_are_synthetic(tmp_path: Path) -> None:
    assert read(tmp_path, None).mix.fraction(0.3) == 0.5


@pytest.mark.parametrize(
    ("content", "trainer_mix", "environment", "expected"),
    [
        ({"ratio": 0.2}, None, {}, "mixed:0.2"),
        ({"mix": "real"}, None, {}, "real"),
        ({"mix": "real"}, "synthetic", {}, "synthetic"),
        ({"ratio": 0.2}, "synthetic", {}, "synthetic"),
        ({"mix": "synthetic-then-real:0.3"}, "synthetic-then-real", {}, "synthetic-then-real:0.3"),
        ({"mix": "real"}, "synthetic", {"SYNTHAUG_RATIO": "0.1"}, "mixed:0.1"),
        ({"ratio": 0.2}, None, {"SYNTHAUG_MIX": "mixed-then-real"}, "mixed-then-real"),
    ],
)
def test_environment_before_trainer_before_file(
    tmp_path: Path, content: dict[str, Any], trainer_mix: str | None, environment: dict[str, str], expected: str
) -> None:
    found = read(tmp_path, content, trainer_mix, **environment)
    assert found.mix == parse_mix(expected)
    assert found.ratio is None


def test_ratio_and_mix_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="environment: ratio and mix both"):
        read(tmp_path, {}, SYNTHAUG_RATIO="0.1", SYNTHAUG_MIX="real")


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, {"sede": 1, "ratio": 3, "schedule": "constant"}, SYNTHAUG_EPOCHS="many")
    for part in ("sede", "did you mean 'seed'", "ratio is 3", "schedule", "SYNTHAUG_EPOCHS"):
        assert part in str(refused.value)


def test_the_switch_of_discovery_is_no_setting(tmp_path: Path) -> None:
    assert read(tmp_path, None, SYNTHAUG_NO_AUTODISCOVERY="1") == read(tmp_path, None)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = RunConfiguration(
        cache="synthaug/cache",
        mix=parse_mix({"stages": [{"until": 0.5, "fraction": 0.8}, {"until": 1, "fraction": 0.1}]}),
        schedule=parse_schedule("log-uniform:8:120"),
        mapping={"thalamus": "brain"},
        seed=3,
        epochs=5,
        prepared=Prepared("g", "f" * 64, {"a": CaseHashes("i", None)}),
    )
    write_configuration(written, tmp_path / "synthaug.json")
    assert read(tmp_path, None) == written
    record = written.record_of("a")
    assert record is not None
    assert (record.image_sha256, record.label_sha256) == ("i", None)
    assert written.record_of("b") is None
    assert list(tmp_path.iterdir()) == [tmp_path / "synthaug.json"]


def test_a_cache_from_the_environment_is_not_held_against_the_prepared_one(tmp_path: Path) -> None:
    found = read(tmp_path, {"cache": "own", "prepared": {"fingerprint": "f"}}, SYNTHAUG_CACHE="elsewhere")
    assert found.prepared.fingerprint == ""
    assert found.cache_folder(tmp_path) == Path.cwd() / "elsewhere"


def test_a_relative_cache_lies_beside_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, {"cache": "here"}).cache_folder(tmp_path) == tmp_path / "here"
