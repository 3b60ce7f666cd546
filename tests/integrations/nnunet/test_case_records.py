"""What is known of a validation case whose files cannot all be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.generators.cases import case_record
from synthaug.integrations.nnunet.case_records import record_cases
from synthaug.integrations.nnunet.dataset import NnunetDataset
from tests.raw_dataset import write_raw_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> NnunetDataset:
    folder = tmp_path / "raw" / "Dataset007_Heads"
    write_raw_dataset(folder, ("a", "b"))
    preprocessed = tmp_path / "preprocessed" / "Dataset007_Heads"
    preprocessed.mkdir(parents=True)
    (preprocessed / "dataset.json").write_text(json.dumps(json.loads((folder / "dataset.json").read_text())))
    return NnunetDataset.at(preprocessed, tmp_path / "raw")


def test_a_case_whose_image_is_damaged_is_known_by_its_label_map(dataset: NnunetDataset) -> None:
    whole = {name: case_record(case) for name, case in dataset.cases.items()}
    dataset.cases["b"].images[0].write_bytes(b"damaged")
    found, unknown = record_cases(dataset, ["a", "b"])
    assert unknown == []
    assert (found["a"].image, found["a"].label) == (whole["a"].image_sha256, whole["a"].label_sha256)
    assert (found["b"].image, found["b"].label) == (None, whole["b"].label_sha256)


def test_a_case_of_which_nothing_can_be_read_is_told(dataset: NnunetDataset) -> None:
    for path in (*dataset.cases["b"].images, dataset.cases["b"].label):
        path.write_bytes(b"damaged")
    found, unknown = record_cases(dataset, ["a", "b"])
    assert (list(found), unknown) == (["a"], ["b"])
