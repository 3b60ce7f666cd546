from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from synthaug.errors import ConfigurationError, LabelError
from synthaug.integrations.nnunet.real_volumes import labels_of, measure_real_cases
from synthaug.labels import LabelMapping, LabelScheme, Structure
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
        found = measure_real_cases(dataset, ["b", "a"], mapping(), structure)
        voxels = [read_label(dataset.label_files()[name])[0] for name in ("b", "a")]
        assert found == pytest.approx([np.isin(label, numbers).sum() * 0.009 for label in voxels])
        assert found[0] != found[1]


@pytest.mark.parametrize(
    ("table", "structure", "reason"),
    [
        ({}, "left", "lateral there together with right"),
        ({"third": "tissue"}, "ventricles", "together with tissue"),
        ({"third": "background"}, "ventricles", "background"),
        ({}, "fourth", "fourth"),
    ],
)
def test_a_structure_without_labels_of_its_own_is_refused(table: dict[str, str], structure: str, reason: str) -> None:
    with pytest.raises(LabelError, match=reason):
        labels_of(mapping(**table), structure)


def test_a_case_without_a_label_map_is_named(dataset: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"no label map of c \(1 of 2 training cases\)"):
        measure_real_cases(dataset, ["a", "c"], mapping(), "sides")
