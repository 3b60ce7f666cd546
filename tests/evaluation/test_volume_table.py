"""Structure volumes of generated and real label maps, side by side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from synthaug.errors import ConfigurationError, LabelError
from synthaug.evaluation.label_maps import LabelMaps
from synthaug.evaluation.volume_table import VolumeTable
from synthaug.labels import LabelScheme
from synthaug.volumes import write_label

SCHEME = LabelScheme.load("ventricles-t1")


def write(path: Path, label: int, count: int) -> None:
    volume = np.zeros((8, 8, 8), np.int16)
    volume.reshape(-1)[:count] = label
    path.parent.mkdir(parents=True, exist_ok=True)
    write_label(path, volume, np.diag([10.0, 10.0, 10.0, 1.0]))  # a voxel is 1 mL


def test_statistics_of_both_sets_stand_side_by_side() -> None:
    table = VolumeTable([{"a": 1.0, "b": 5.0}, {"a": 3.0, "b": 5.0}], [{"a": 4.0}])
    facts = table.to_dict()
    assert set(facts) == {"a"}
    assert facts["a"]["generated"] == {
        "count": 2, "mean_ml": 2.0, "sd_ml": pytest.approx(2**0.5), "min_ml": 1.0, "max_ml": 3.0
    }  # fmt: skip
    assert facts["a"]["real"]["mean_ml"] == 4.0


def test_only_structures_that_all_real_label_maps_have_are_compared() -> None:
    facts = VolumeTable([{"a": 1.0, "b": 5.0}], [{"a": 3.0, "b": 5.0}, {"a": 4.0}]).to_dict()
    assert set(facts) == {"a"}
    assert facts["a"]["real"]["count"] == 2


def test_sets_without_a_common_structure_and_an_empty_set_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="--mapping from the real scheme"):
        VolumeTable([{"a": 1.0}], [{"b": 1.0}]).to_dict()
    with pytest.raises(ConfigurationError, match="no generated"):
        VolumeTable([]).to_dict()


def test_label_maps_are_told_from_images_by_their_names(tmp_path: Path) -> None:
    write(tmp_path / "1_T1.nii.gz", 0, 0)
    write(tmp_path / "1_labels.nii.gz", 3, 7)
    maps = LabelMaps.find(tmp_path, SCHEME)
    assert [path.name for path in maps.paths] == ["1_labels.nii.gz"]
    ((name, volumes),) = maps.volumes_ml()
    assert name == "1_labels"
    assert volumes["lateral_ventricle_left"] == pytest.approx(7)
    assert volumes["ventricles"] == pytest.approx(7)


def test_a_raw_dataset_brings_its_own_scheme(tmp_path: Path) -> None:
    write(tmp_path / "labelsTr" / "case_1.nii.gz", 2, 5)
    dataset = {"labels": {"background": 0, "tissue": 1, "ventricles": 2}, "channel_names": {"0": "T1"}}
    (tmp_path / "dataset.json").write_text(json.dumps({**dataset, "file_ending": ".nii.gz", "numTraining": 1}))
    ((name, volumes),) = LabelMaps.find(tmp_path, SCHEME).volumes_ml()
    assert (name, volumes["ventricles"]) == ("case_1", pytest.approx(5))


def test_wrong_folders_and_foreign_labels_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        LabelMaps.find(tmp_path / "nowhere", SCHEME)
    with pytest.raises(ConfigurationError, match="no NIfTI"):
        LabelMaps.find(tmp_path, SCHEME)
    write(tmp_path / "brain.nii.gz", 77, 5)
    with pytest.raises(LabelError, match=r"brain.nii.gz.*77"):
        list(LabelMaps.find(tmp_path, SCHEME).volumes_ml())
