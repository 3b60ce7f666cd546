"""Sound files of each kind that is read, to be spoiled."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.conditions import Condition
from synthaug.labels import LabelScheme
from synthaug.store import Store, StoreInfo
from synthaug.volumes import write_image, write_label
from tests.generators.tiny_guided_ldm import write_tiny_generator
from tests.raw_dataset import write_raw_dataset
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

STAND_IN = "python:tests.stand_in_generator:make"
SHAPE = (32, 32, 32)


def write_sound(folder: Path) -> None:
    """Write an input of each kind that is read without complaint."""
    generator = StandInGenerator()
    (pair,) = generator.generate([Condition({"ventricles": 40.0})], [1])
    write_image(folder / "nifti" / "image.nii.gz", pair.image, pair.affine)
    write_label(folder / "nifti" / "label.nii.gz", pair.label, pair.affine)
    write_tiny_generator(folder / "tiny")
    store = Store.create(folder / "cache", StoreInfo.of(generator))
    fill(store, generator, (40.0,))
    store.give_up("given0", {"attempts": 3, "rejects": {"small": 3}})
    (folder / "cache" / "case").symlink_to(Path("cases") / store.names()[0])
    (folder / "cache" / "events.jsonl").symlink_to(
        next((folder / "cache" / "events").iterdir()).relative_to(folder / "cache")
    )
    scheme = LabelScheme.load("ventricles-t1")
    texts: dict[str, Any] = {
        "scheme.json": scheme.to_dict(),
        "mapping.json": {"source": scheme.to_dict(), "target": "ventricles-t1", "table": {n: n for n in scheme.names}},
        "table.json": {name: name for name in scheme.names},
        "schedule.json": {
            "kind": "piecewise",
            "stages": [
                {"until": 0.5, "schedule": {"kind": "uniform", "low_ml": 20, "high_ml": 60}},
                {"until": 1.0, "schedule": {"kind": "empirical", "volumes_ml": [20, 30, 55]}},
            ],
        },
        "monai.json": {"network": "BasicUNet", "arguments": {}, "weights": "w.pth", "labels": {"background": 0}},
    }
    for name, content in texts.items():
        (folder / name).write_text(json.dumps(content))
    _write_datasets(folder)
    _write_further(folder, scheme)


def _write_datasets(folder: Path) -> None:
    from synthaug.integrations.nnunet.run_configuration import (
        CaseHashes,
        Prepared,
        RunConfiguration,
        write_configuration,
    )
    from synthaug.live.options import LiveOptions
    from tests.study.small_study import small_plan

    raw, preprocessed = folder / "raw" / "Dataset007_Heads", folder / "preprocessed" / "Dataset007_Heads"
    names = [f"case_{number}" for number in range(2)]
    write_raw_dataset(raw, names)
    preprocessed.mkdir(parents=True)
    shutil.copyfile(raw / "dataset.json", preprocessed / "dataset.json")
    plans = Path(__file__).parents[1] / "integration" / "tiny_plans.json"
    shutil.copyfile(plans, preprocessed / "nnUNetPlans.json")
    split = [{"train": names[:1], "val": names[1:]}]
    (preprocessed / "splits_final.json").write_text(json.dumps(split))
    settings = RunConfiguration(
        mapping={"csf": "background"},
        live=LiveOptions(),
        prepared=Prepared("x", "0" * 64, {"case_0": CaseHashes("0" * 64)}),
    )
    write_configuration(settings, preprocessed / "synthaug.json")
    plan = small_plan(raw, test_cases=["case_1"])
    (folder / "study.json").write_text(json.dumps({**plan, "dataset": "raw/Dataset007_Heads"}))


def _write_further(folder: Path, scheme: LabelScheme) -> None:
    import torch

    from tests.reports.test_training_report import entry

    lines = "".join(json.dumps(entry(epoch, 4 + epoch)) + "\n" for epoch in range(3))
    (folder / "synthaug_metrics.jsonl").write_text(lines)
    properties = {"spacing": [1.0, 1.0, 1.0], "class_locations": {1: np.zeros((4, 4), np.int64)}, "shape": (4, 4, 4)}
    (folder / "properties.pkl").write_bytes(pickle.dumps(properties))
    torch.save({"state_dict": {"module.a": torch.ones(3, 3), "module.b": torch.zeros(2)}}, folder / "weights.pth")
