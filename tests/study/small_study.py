"""A study small enough for whole runs in tests: heads of 32 voxels of 4 mm, networks of three levels, a few steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthaug.conditions import Condition
from synthaug.configuration import load_config
from synthaug.study.configuration import StudyConfig
from synthaug.volumes import write_image, write_label
from tests.stand_in_generator import StandInGenerator

STAND_IN = "python:tests.stand_in_generator:make"
TRAINING_ML = (15.0, 20.0, 25.0)
TEST_ML = (40.0, 60.0)


def write_dataset(
    folder: Path,
    *,
    training_ml: Sequence[float] = TRAINING_ML,
    test_ml: Sequence[float] = TEST_ML,
    first_seed: int = 100,
) -> Path:
    """A raw data set with cases ``train_0`` and so on, and ``test_0`` and so on, by volume of their ventricles."""
    generator = StandInGenerator()
    (folder / "labelsTr").mkdir(parents=True)
    (folder / "imagesTr").mkdir()
    labels = {"background": 0, **{name: generator.scheme.id_of(name) for name in generator.scheme.names}}
    described = {"channel_names": {"0": "T1"}, "labels": labels, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(described))
    cases = [(f"train_{number}", volume) for number, volume in enumerate(training_ml)]
    cases += [(f"test_{number}", volume) for number, volume in enumerate(test_ml)]
    for index, (name, volume_ml) in enumerate(cases):
        (pair,) = generator.generate([Condition({"ventricles": volume_ml})], [first_seed + index])
        write_label(folder / "labelsTr" / f"{name}.nii.gz", pair.label, pair.affine)
        write_image(folder / "imagesTr" / f"{name}_0000.nii.gz", pair.image, pair.affine)
    return folder


def small_plan(raw: Path, **changes: Any) -> dict[str, Any]:
    """Content of a study file: two strategies, one network, two seeds."""
    plan = {
        "dataset": str(raw),
        "test_cases": ["test_0", "test_1"],
        "spacing_mm": 8,
        "shape": [16, 16, 16],
        "strategies": ["real", "mixed"],
        "segmenters": {"dynunet": {"filters": [4, 8, 8]}},
        "generators": {"stand-in": {"generator": STAND_IN}},
        "schedules": ["uniform:20:80"],
        "num_pairs": 3,
        "seeds": [0, 1],
        "steps": 3,
        "batch": 1,
        **changes,
    }
    return {key: value for key, value in plan.items() if value is not None}


def small_config(raw: Path, **changes: Any) -> StudyConfig:
    """The same, read."""
    return load_config(StudyConfig, small_plan(raw, **changes))
