"""Which cases are trained on and which are tested on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.errors import ConfigurationError
from synthaug.study.held_out import HeldOut, refuse_repeated_tests
from synthaug.volumes import CaseRecord
from tests.study.small_study import small_config, write_dataset


def names(cases: object) -> list[str]:
    return [one.identifier for one in cases]  # type: ignore[attr-defined]


def test_all_that_is_not_tested_on_is_trained_on(tmp_path: Path) -> None:
    held = HeldOut.of(small_config(write_dataset(tmp_path / "d")))
    assert names(held.training) == ["train_0", "train_1", "train_2"]
    assert names(held.test) == ["test_0", "test_1"]


def test_a_fold_says_which(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d")
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["train_1"], "val": ["test_1"]}]))
    held = HeldOut.of(small_config(folder, test_cases=None, fold=0))
    assert (names(held.training), names(held.test)) == (["train_1"], ["test_1"])


@pytest.mark.parametrize(
    ("test_cases", "what"),
    [
        (["tst_0"], "did you mean 'test_0'"),
        (["train_0", "train_1", "train_2", "test_0", "test_1"], "every case is a test case"),
    ],
)
def test_wrong_test_cases_are_refused(tmp_path: Path, test_cases: list[str], what: str) -> None:
    folder = write_dataset(tmp_path / "d")
    with pytest.raises(ConfigurationError, match=what):
        HeldOut.of(small_config(folder, test_cases=test_cases))


def test_an_ignore_label_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d")
    described = json.loads((folder / "dataset.json").read_text())
    described["labels"]["ignore"] = 14
    (folder / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(ConfigurationError, match="ignore label"):
        HeldOut.of(small_config(folder))


def test_smaller_subsets_lie_within_larger_ones(tmp_path: Path) -> None:
    held = HeldOut.of(small_config(write_dataset(tmp_path / "d", training_ml=[15.0] * 6)))
    for seed in range(3):
        sets = [set(names(held.subset(count, seed))) for count in (1, 3, 6)]
        assert [len(one) for one in sets] == [1, 3, 6]
        assert sets[0] < sets[1] < sets[2]
    assert len({tuple(names(held.subset(2, seed))) for seed in range(10)}) > 1
    assert held.subset(None, 0) == held.training
    with pytest.raises(ConfigurationError, match="has 6 training cases"):
        held.subset(7, 0)


def test_a_test_case_that_is_a_copy_of_another_is_refused() -> None:
    one, other = CaseRecord("a", "i1", "l1"), CaseRecord("b", "i2", None)
    refuse_repeated_tests([one, other, CaseRecord("c", "i3", None)], "D")
    with pytest.raises(ConfigurationError, match="test cases of D: a and c have the same label"):
        refuse_repeated_tests([one, other, CaseRecord("c", "i4", "l1")], "D")
