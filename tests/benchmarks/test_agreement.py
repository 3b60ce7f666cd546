"""The agreement benchmark learns from the cases that the generator saw, and is measured on the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import agreement
from synthaug.store import Store, StoreInfo
from synthaug.volumes import CaseRecord
from tests.raw_dataset import write_raw_dataset
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

SEEN = ("seen_0", "seen_1", "seen_2")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_raw_dataset(tmp_path / "Dataset001_Heads", (*SEEN, "new"), volume_ml=60.0)
    return tmp_path / "Dataset001_Heads"


@pytest.mark.usefixtures("fresh_accelerator")
def test_pairs_are_compared_with_the_cases_that_nobody_saw(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = StandInGenerator(training_cases=[CaseRecord(name, None, None) for name in SEEN])
    caches = [tmp_path / "cache", tmp_path / "other"]
    for folder in caches:
        fill(Store.create(folder, StoreInfo.of(generator)), generator)
    learned_from: list[str] = []
    real_loss = agreement.SegmenterLoss.__init__

    def remember(self: agreement.SegmenterLoss, cases: object, scheme: object, device: object) -> None:
        learned_from.extend(one.identifier for one in cases)  # type: ignore[attr-defined]
        real_loss(self, cases, scheme, device)  # type: ignore[arg-type]

    monkeypatch.setattr(agreement.SegmenterLoss, "__init__", remember)
    path = tmp_path / "agreement.json"
    asked = [word for folder in caches for word in ("--generated", str(folder))]
    work = ["--work", str(tmp_path / "work"), "--budget", "4s", "--inflate", "80", "--json", str(path)]
    assert agreement.main(["--raw", str(raw), *asked, *work]) == 0
    assert learned_from == list(SEEN)
    found = json.loads(path.read_text())
    assert set(found) == {str(folder) for folder in caches}
    every = found[str(caches[0])]["sizes"]["all"]
    assert (every["real_cases"], every["samples"]) == (2, 3)
    assert 0 <= every["sample_dice"] <= 1
    assert "| large | 2, " in capsys.readouterr().out
    assert (tmp_path / "work" / "segmenter.safetensors").exists()
