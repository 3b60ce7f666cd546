"""The training that a cache is made for: its share of synthetic cases, and what goes wrong on the way."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from synthaug.cli import served_training
from synthaug.cli.served_training import ServedTraining, refuse_without_dataset, share_of_synthetic
from synthaug.errors import ConfigurationError, StoreError
from synthaug.integrations.nnunet.prepare import TrainingRequest
from synthaug.schedules import parse_mix
from synthaug.store import Store, StoreInfo
from tests.stand_in_generator import StandInGenerator


def test_the_share_is_a_ratio_or_a_mix() -> None:
    assert share_of_synthetic(None, None) is None
    assert share_of_synthetic(0.25, None) == 0.25
    assert share_of_synthetic(None, "synthetic-then-real") == parse_mix("synthetic-then-real")
    with pytest.raises(ConfigurationError, match=r"--ratio and --mix: .*give one"):
        share_of_synthetic(0.5, "mixed")
    with pytest.raises(ConfigurationError, match=r"--ratio 1.5: .*between 0 and 1"):
        share_of_synthetic(1.5, None)


def test_options_of_a_training_need_a_dataset() -> None:
    refuse_without_dataset({"--fold": None, "--ratio": None})
    with pytest.raises(ConfigurationError, match=r"--ratio: .*give --dataset"):
        refuse_without_dataset({"--fold": None, "--ratio": 0.0})


def test_a_full_disk_while_preprocessing_names_the_case_that_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(served_training, "plans_forms", lambda *_: [SimpleNamespace(add=add)])
    store = Store.create(tmp_path / "cache", StoreInfo.of(StandInGenerator()))
    training = ServedTraining(store.folder, "501", TrainingRequest())
    with pytest.raises(StoreError, match=r"cache: case one is stored, but .*No space left on device.*run again"):
        training.preprocessing(store)("one", SimpleNamespace())  # type: ignore[arg-type]
