from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from synthaug.errors import ConfigurationError
from synthaug.integrations.nnunet.real_volumes import fill_missing, measure_volumes_ml
from synthaug.labels import LabelMapping, LabelScheme, Structure
from synthaug.schedules import MissingVolumes, parse_mix
from synthaug.volumes import read_label, write_label

GENERATOR = LabelScheme(
    "generator",
    (Structure("left", 1), Structure("right", 2), Structure("third", 3), Structure("tissue", 4)),
    {"ventricles": ("left", "right", "third"), "sides": ("left", "right")},
)
DATASET = LabelScheme("dataset", (Structure("tissue", 1), Structure("lateral", 2), Structure("rest", 5)))


def mapping(**changed: str) -> LabelMapping:
    table = {"left": "lateral", "right": "lateral", "third": "rest", "tissue": "tissue", **changed}
    return LabelMapping(GENERATOR, DATASET, table)


@pytest.fixture
def dataset(tmp_path: Path) -> Any:
    rng = np.random.default_rng(0)
    files = {}
    for name in ("a", "b"):
        label = rng.choice(np.array([0, 1, 2, 5], dtype=np.int16), (7, 9, 8))
        affine = np.array([[0.0, 2.0, 0, 5], [-1.5, 0.0, 0, 1], [0, 0, 3.0, -4], [0, 0, 0, 1]])
        files[name] = tmp_path / f"{name}.nii.gz"
        write_label(files[name], label, affine)
    return SimpleNamespace(name="dataset", scheme=DATASET, preprocessed=tmp_path, label_files=lambda: files)


def test_labels_are_measured_in_ml_of_their_own_voxels(dataset: Any) -> None:
    for structure, numbers in (("ventricles", [2, 5]), ("sides", [2]), ("third", [5]), ("tissue", [1])):
        found = measure_volumes_ml(dataset, ["b", "a"], mapping(), structure)
        voxels = [read_label(dataset.label_files()[name])[0] for name in ("b", "a")]
        assert found == pytest.approx([np.isin(label, numbers).sum() * 0.009 for label in voxels])
        assert found[0] != found[1]


def test_a_case_without_a_label_map_is_named(dataset: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"training case c has no label map .*splits_final.json"):
        measure_volumes_ml(dataset, ["a", "c"], mapping(), "sides")


def test_other_files_than_nifti_have_a_mend(dataset: Any) -> None:
    dataset.label_files = lambda: {"a": Path("a.nrrd")}
    with pytest.raises(ConfigurationError, match=r"a.nrrd: only NIfTI .*histogram-matching"):
        measure_volumes_ml(dataset, ["a"], mapping(), "sides")


def test_cases_with_ignored_voxels_are_left_out(dataset: Any) -> None:
    partly = LabelScheme("dataset", (Structure("tissue", 1), Structure("lateral", 2)), ignore_id=5)
    table = {**mapping().table, "third": "background"}
    some = LabelMapping(GENERATOR, partly, table)
    dataset.scheme = partly
    label, affine = read_label(dataset.label_files()["b"])
    write_label(dataset.label_files()["b"], np.where(label == 5, 0, label), affine)
    lines: list[str] = []
    schedule = fill_missing(dataset, MissingVolumes(1.0, 9.0, "sides"), parse_mix(0.25), ["a", "b"], some, lines.append)
    assert schedule.real_ml == (pytest.approx((label == 2).sum() * 0.009),)
    assert schedule.fraction == 0.25
    assert "1 training cases (1 with ignored voxels left out)" in lines[0]
    with pytest.raises(ConfigurationError, match="none of 1 training cases can be measured"):
        fill_missing(dataset, MissingVolumes(1.0, 9.0, "sides"), parse_mix(0.25), ["a"], some, lines.append)
