"""nnU-Net datasets on disk, without nnU-Net."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.integrations.nnunet.prepare import default_cache_folder, training_case_paths


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    folder = tmp_path / "raw" / "Dataset007_Two"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for case in "abcdef":
        (folder / "labelsTr" / f"{case}.nii.gz").touch()
        for channel in range(2):
            (folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz").touch()
    labels = {"background": 0, "brain": 1, "ventricles": 2}
    content = {"channel_names": {"1": "FLAIR", "0": "T1"}, "labels": labels, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("text", ["7", 7, "007", "Dataset007_Two"])
def test_a_dataset_is_found(raw: Path, text: str | int) -> None:
    dataset = NnunetDataset.find(text)
    assert dataset.raw == raw
    assert dataset.channels == ("T1", "FLAIR")
    assert dataset.scheme.names == ("brain", "ventricles")
    assert list(dataset.cases) == list("abcdef")
    assert [path.name for path in dataset.cases["c"].images] == ["c_0000.nii.gz", "c_0001.nii.gz"]


@pytest.mark.parametrize("text", ["8", "Dataset007_Tow", "x"])
def test_a_dataset_that_is_not_there(raw: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="present: Dataset007_Two"):
        NnunetDataset.find(text)


def test_variables_that_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    with pytest.raises(ConfigurationError, match="nnUNet_preprocessed is not set"):
        NnunetDataset.find(7)


def test_a_missing_file_is_named(raw: Path) -> None:
    (raw / "imagesTr" / "d_0001.nii.gz").unlink()
    with pytest.raises(SynthAugError, match=r"d_0001\.nii\.gz: missing for case d"):
        _ = NnunetDataset.find(7).cases


def test_an_image_without_label_map_is_named(raw: Path) -> None:
    (raw / "labelsTr" / "d.nii.gz").unlink()
    (raw / "imagesTr" / "notes_of_d.nii.gz").touch()  # no channel's number, no case
    with pytest.raises(SynthAugError, match=r"labelsTr/d\.nii\.gz: missing for case d"):
        _ = NnunetDataset.find(7).cases


def test_cases_listed_in_the_description(raw: Path) -> None:
    content = json.loads((raw / "dataset.json").read_text())
    listed = {"images": ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"], "label": "labelsTr/a.nii.gz"}
    (raw / "dataset.json").write_text(json.dumps({**content, "dataset": {"first": listed}}))
    assert NnunetDataset.find(7).cases["first"].label == raw / "labelsTr" / "a.nii.gz"


def test_splits_are_nnunets(raw: Path) -> None:
    dataset = NnunetDataset.find(7)
    folds = [dataset.split(fold) for fold in range(5)]
    assert sorted(name for _, validation in folds for name in validation) == list("abcdef")
    for training, validation in folds:
        assert sorted(training + validation) == list("abcdef")
    assert dataset.split("1") == dataset.split(1)
    assert dataset.split("all") == (list("abcdef"), list("abcdef"))
    for fold in (5, -1, "x"):
        with pytest.raises(ConfigurationError, match="allowed are 0 to 4 and all"):
            dataset.split(fold)


def test_an_own_split_is_kept_to(raw: Path) -> None:
    dataset = NnunetDataset.find(7)
    dataset.preprocessed.mkdir(parents=True)
    (dataset.preprocessed / "splits_final.json").write_text(json.dumps([{"train": ["a"], "val": ["b"]}]))
    assert dataset.split(0) == (["a"], ["b"])
    scheme, channels, cases = training_case_paths(7, 0)
    assert scheme.names == ("brain", "ventricles")
    assert channels == ("T1", "FLAIR")
    assert [case.identifier for case in cases] == ["a"]
    (dataset.preprocessed / "splits_final.json").write_text(json.dumps([{"train": ["z"], "val": ["b"]}]))
    with pytest.raises(ConfigurationError, match="fold 0 names z"):
        training_case_paths(7, 0)


def test_too_few_cases_for_five_folds(raw: Path) -> None:
    for path in [*(raw / "labelsTr").glob("[b-f]*"), *(raw / "imagesTr").glob("[b-f]*")]:
        path.unlink()
    with pytest.raises(ConfigurationError, match=r"1 case\(s\) cannot be split"):
        NnunetDataset.find(7).split(0)


def test_the_default_cache_lies_beside_the_plans(raw: Path) -> None:
    assert default_cache_folder(7) == NnunetDataset.find(7).preprocessed / "synthaug" / "cache"


@pytest.mark.parametrize(
    "content", ["{}", "[]", '[{"val": ["b"]}]', '[{"train": ["a"]}]', '[{"train": ["a"', '[["a"], ["b"]]', '"x"']
)
def test_a_damaged_split_is_named(raw: Path, content: str) -> None:
    dataset = NnunetDataset.find(7)
    dataset.preprocessed.mkdir(parents=True)
    (dataset.preprocessed / "splits_final.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"splits_final\.json: .*mend"):
        dataset.split(0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("channel_names", None),
        ("channel_names", ["T1"]),
        ("channel_names", {"T1": 0}),
        ("file_ending", None),
        ("file_ending", 3),
        ("dataset", {"first": {}}),
        ("dataset", ["first"]),
    ],
)
def test_a_description_that_lacks_something_is_named(raw: Path, key: str, value: object) -> None:
    content = {**json.loads((raw / "dataset.json").read_text()), key: value}
    (raw / "dataset.json").write_text(json.dumps({name: entry for name, entry in content.items() if entry is not None}))
    with pytest.raises(ConfigurationError, match=rf'dataset\.json: "{key}" must give'):
        _ = NnunetDataset.find(7).cases


@pytest.mark.parametrize("key", ["channel_names", "file_ending"])
def test_what_the_description_beside_the_plans_lacks_is_named(raw: Path, key: str) -> None:
    dataset = NnunetDataset.find(7)
    dataset.preprocessed.mkdir(parents=True)
    content = json.loads((raw / "dataset.json").read_text())
    (dataset.preprocessed / "dataset.json").write_text(json.dumps({k: v for k, v in content.items() if k != key}))
    with pytest.raises(ConfigurationError, match=rf'dataset\.json: "{key}" must give'):
        _ = (dataset.channels, dataset.label_files())


def test_a_number_of_other_digits_is_no_number(raw: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is none"):
        NnunetDataset.find("\N{SUPERSCRIPT TWO}")


def test_drawing_from_a_split_that_names_an_absent_case_is_a_mistake(raw: Path) -> None:
    from synthaug.cli.generator_options import GeneratorChoice

    dataset = NnunetDataset.find(7)
    dataset.preprocessed.mkdir(parents=True)
    (dataset.preprocessed / "splits_final.json").write_text(json.dumps([{"train": ["z"], "val": ["b"]}]))
    with pytest.raises(ConfigurationError, match="fold 0 names z"):
        GeneratorChoice("counterfactual", dataset="7").open()
