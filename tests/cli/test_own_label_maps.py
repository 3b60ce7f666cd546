"""Which label maps a command line names, and what turns them into the generator's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug.cli.own_label_maps import choose_mapping, find_label_maps
from synthaug.errors import AmbiguousMappingError, ConfigurationError, LabelError, SynthAugError
from synthaug.labels import LabelScheme
from synthaug.volumes import write_label

TARGET = LabelScheme.load("ventricles-t1")


def write_labels(folder: Path, *names: str) -> None:
    """Small label maps."""
    for name in names:
        write_label(folder / name, np.ones((2, 2, 2), np.int16), np.eye(4))


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Raw folder of a data set without images, whose labels are those of the generator with other ids."""
    raw = tmp_path / "raw" / "Dataset501_Own"
    (raw / "labelsTr").mkdir(parents=True)
    monkeypatch.setenv("nnUNet_raw", str(raw.parent))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    describe(raw, {name: number for number, name in enumerate(reversed(TARGET.names), start=1)})
    write_labels(raw / "labelsTr", "case_1.nii.gz", "case_2.nii.gz")
    return raw


def describe(raw: Path, labels: dict[str, int]) -> None:
    """Write ``dataset.json``."""
    content: dict[str, Any] = {"channel_names": {"0": "T1"}, "file_ending": ".nii.gz"}
    (raw / "dataset.json").write_text(json.dumps({**content, "labels": {"background": 0, **labels}}))


def test_files_folders_and_globs_are_found_once_each(tmp_path: Path) -> None:
    write_labels(tmp_path, "a.nii.gz", "b.nii", "c.nii.gz")
    (tmp_path / "notes.txt").write_text("no label map")
    maps = find_label_maps([str(tmp_path / "*.nii.gz"), str(tmp_path), str(tmp_path / "b.nii")], TARGET, None)
    assert [path.name for path in maps.paths] == ["a.nii.gz", "c.nii.gz", "b.nii"]
    assert maps.file_scheme == TARGET


def test_nothing_found_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--labels .*x\*\.nii: no such file or folder, and no file matches"):
        find_label_maps([str(tmp_path / "x*.nii")], TARGET, None)
    write_labels(tmp_path, "a.nii.gz", "other/a.nii")
    with pytest.raises(ConfigurationError, match="would have pairs of one name"):
        find_label_maps([str(tmp_path / "a.nii.gz"), str(tmp_path / "other")], TARGET, None)


def test_a_dataset_of_other_labels_is_not_read_as_the_generator_s(dataset: Path) -> None:
    with pytest.raises(ConfigurationError, match="other labels than 'ventricles-t1'; give --dataset too"):
        find_label_maps([str(dataset)], TARGET, None)
    mapping = choose_mapping(TARGET, "501", None)
    assert mapping is not None
    maps = find_label_maps([str(dataset)], TARGET, mapping)
    assert [path.name for path in maps.paths] == ["case_1.nii.gz", "case_2.nii.gz"]
    assert maps.file_scheme.names == TARGET.names[::-1]


def test_names_of_a_dataset_s_labels_tell_the_structures(dataset: Path) -> None:
    mapping = choose_mapping(TARGET, "Dataset501_Own", None)
    assert mapping is not None
    assert mapping.table == {name: name for name in TARGET.names}
    assert mapping.apply(np.array([1], np.int16)) == TARGET.id_of(TARGET.names[-1])


def test_a_dataset_whose_names_do_not_tell_needs_a_mapping(dataset: Path, tmp_path: Path) -> None:
    describe(dataset, {"brain": 1, "ventricles": 2})
    with pytest.raises(AmbiguousMappingError, match=r"--dataset 501: .*give it with --mapping") as failure:
        choose_mapping(TARGET, "501", None)
    assert "\n" not in str(failure.value)
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps({"brain": "cerebral_white_matter", "ventricles": "third_ventricle"}))
    mapping = choose_mapping(TARGET, "501", str(path))
    assert mapping is not None
    assert mapping.apply(np.array([1, 2], np.int16)).tolist() == [1, 5]
    path.write_text(json.dumps({**mapping.to_dict(), "table": {"brain": "csf", "ventricles": "background"}}))
    whole = choose_mapping(TARGET, "501", str(path))
    assert whole is not None
    assert whole.apply(np.array([1, 2], np.int16)).tolist() == [13, 0]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"brian": "csf"}, "no structure 'brian'"),
        ({"brain": "cfs", "ventricles": "csf"}, "no structure 'cfs'"),
        ({"brain": 3}, "no structure '3'"),
    ],
)
def test_a_slip_in_a_mapping_is_named(dataset: Path, tmp_path: Path, table: dict[str, Any], said: str) -> None:
    describe(dataset, {"brain": 1, "ventricles": 2})
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps(table))
    with pytest.raises(LabelError, match=f"--mapping .*{said}"):
        choose_mapping(TARGET, "501", str(path))


def test_a_mapping_between_other_schemes_is_refused(dataset: Path) -> None:
    assert choose_mapping(TARGET, None, None) is None
    mapping = choose_mapping(TARGET, None, "freesurfer-to-ventricles-t1")
    assert mapping is not None
    assert mapping.source.name == "freesurfer"
    with pytest.raises(LabelError, match=r"leads from 'freesurfer', .* give a mapping from 'Dataset501_Own'"):
        choose_mapping(TARGET, "501", "freesurfer-to-ventricles-t1")
    with pytest.raises(LabelError, match=r"leads to 'ventricles-t1', .* give a mapping to 'freesurfer'"):
        choose_mapping(LabelScheme.load("freesurfer"), None, "freesurfer-to-ventricles-t1")
    with pytest.raises(SynthAugError, match="no label mapping 'freesurfer-to'"):
        choose_mapping(TARGET, None, "freesurfer-to")
