"""The training that a cache is made for: its share of synthetic cases, and what goes wrong on the way."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthaug.cli import served_training
from synthaug.cli.served_training import ServedTraining, TrainingOptions
from synthaug.errors import ConfigurationError, StoreError
from synthaug.integrations.nnunet.prepare import TrainingRequest
from synthaug.schedules import parse_mix
from synthaug.store import Store, StoreInfo
from tests.stand_in_generator import StandInGenerator


def test_the_share_is_a_ratio_or_a_mix(tmp_path: Path) -> None:
    def mix(**options: Any) -> Any:
        return TrainingOptions(**options).served(tmp_path, "501", schedule=None, seed=None).request.mix

    assert mix() is None
    assert mix(ratio=0.25) == 0.25
    assert mix(mix="synthetic-then-real") == parse_mix("synthetic-then-real")
    with pytest.raises(ConfigurationError, match=r"--ratio and --mix: .*give one"):
        TrainingOptions(ratio=0.5, mix="mixed").check("501")
    with pytest.raises(ConfigurationError, match=r"--ratio 1.5: .*between 0 and 1"):
        TrainingOptions(ratio=1.5).check("501")


def test_options_of_a_training_need_a_dataset() -> None:
    TrainingOptions().check(None)
    TrainingOptions(fold="1", ratio=0.0).check("501")
    with pytest.raises(ConfigurationError, match=r"--ratio: .*give --dataset"):
        TrainingOptions(ratio=0.0).check(None)
    with pytest.raises(ConfigurationError, match=r"--configuration: .*give --dataset"):
        TrainingOptions(configuration=["2d"]).check(None)


def test_a_fold_is_a_number_or_all(tmp_path: Path) -> None:
    folds = [TrainingOptions(fold=fold).served(tmp_path, "501", schedule=None, seed=0) for fold in (None, "3", "all")]
    assert [training.request.fold for training in folds] == [0, 3, "all"]


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
