from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import synthaug.generators
from synthaug.errors import ConfigurationError
from synthaug.integrations.nnunet.automatic_cache import make_automatic_cache
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.integrations.nnunet.run_configuration import RunConfiguration
from synthaug.schedules import parse_schedule_or_missing
from tests.stand_in_generator import StandInGenerator


def make(folder: Path, schedule: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    generator = StandInGenerator()
    monkeypatch.setattr(synthaug.generators, "load_generator", lambda name: generator)
    dataset = SimpleNamespace(name="Dataset007_Same", preprocessed=folder, channels=("T1",), scheme=generator.scheme)
    configuration = RunConfiguration(schedule=parse_schedule_or_missing(schedule), automatic_cases=3)
    return make_automatic_cache(cast(NnunetDataset, dataset), configuration, print, lambda generator: None)


@pytest.mark.parametrize(
    ("schedule", "what"),
    [
        ("missing:20:900", "900"),
        ("liver=missing:20:90", "liver"),
        ("uniform:400:900", "150"),
        ("liver=uniform:20:90", "liver"),
    ],
)
def test_what_cannot_be_asked_for_leaves_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: str, what: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"does not serve: .*{what}.*run synthaug precompute"):
        make(tmp_path, schedule, monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_pairs_of_the_whole_range_are_made_for_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = make(tmp_path / "missing", "missing:20:90", monkeypatch).entries()
    uniform = make(tmp_path / "uniform", "uniform:20:90", monkeypatch).entries()
    assert len(missing) == 3
    assert [one.requested_ml for one in missing] == [one.requested_ml for one in uniform]
