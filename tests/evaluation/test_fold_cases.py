"""Cases of a fold are read by what it holds out; a generator that knows them, or lacks their labels, is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from synthaug.errors import ConfigurationError, LeakageError
from synthaug.evaluation.fold_cases import FoldCases
from synthaug.generators.cases import case_record
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord
from tests.raw_dataset import write_raw_dataset


def write_split(raw: Path, training: str, held_out: str) -> None:
    (raw / "splits_final.json").write_text(json.dumps([{"train": list(training), "val": list(held_out)}]))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "Dataset001_Heads"
    write_raw_dataset(folder, "abc")
    write_split(folder, "ab", "c")
    return folder


def test_the_pairs_of_a_fold_are_read_from_the_folder_of_a_raw_dataset(raw: Path) -> None:
    real = FoldCases.find(str(raw), "0")
    assert [one.identifier for one in real.training] == ["a", "b"]
    ((name, pair),) = real.read(real.held_out)
    assert name == "c"
    assert pair.scheme == real.dataset.scheme
    assert pair.channels == ("T1",)
    assert (np.unique(pair.label) > 0).any()


@pytest.mark.parametrize(
    ("held_out", "fold", "message"),
    [
        ("c", "all", "holds no case out"),
        ("c", "1", "fold '1'"),
        ("", "0", "fold 0 has no validation case"),
        ("cxyz", "0", "names x, y, z, without files"),
    ],
)
def test_folds_that_hold_nothing_out_are_refused(raw: Path, held_out: str, fold: str, message: str) -> None:
    write_split(raw, "ab", held_out)
    with pytest.raises(ConfigurationError, match=message):
        FoldCases.find(str(raw), fold)


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no dataset\.json"):
        FoldCases.find(str(tmp_path), "0")


def test_a_generator_that_was_fitted_on_a_renamed_held_out_case_is_refused(raw: Path) -> None:
    real = FoldCases.find(str(raw), "0")
    image = case_record(real.held_out[0]).image_sha256
    real.refuse_leaks({"one": [CaseRecord("a", None, None)], "other": []})
    with pytest.raises(LeakageError, match="other: was made from 1 of the"):
        real.refuse_leaks({"one": [], "other": [CaseRecord("renamed", image, None)]})


def test_a_generator_that_lacks_a_structure_is_refused(raw: Path) -> None:
    real = FoldCases.find(str(raw), "0")
    scheme = real.dataset.scheme
    poor = LabelScheme("poor", tuple(one for one in scheme.structures if one.name != "thalamus"))
    real.refuse_lacking_structures({"whole": scheme})
    with pytest.raises(ConfigurationError, match="other: makes no thalamus"):
        real.refuse_lacking_structures({"whole": scheme, "other": poor})


def test_a_folder_within_nnunet_raw_has_the_split_of_its_number(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocessed = tmp_path / "preprocessed" / raw.name
    preprocessed.mkdir(parents=True)
    write_split(preprocessed, "bc", "a")
    assert [one.identifier for one in FoldCases.find(str(raw), 0).held_out] == ["c"]
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    for name in (str(raw), f"{raw}/", "1"):
        assert [one.identifier for one in FoldCases.find(name, 0).held_out] == ["a"]
