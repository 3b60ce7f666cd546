"""``synthaug evaluate --alignment`` asks a network that nnU-Net trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.cli.app import run
from tests.integration.tiny_nnunet import NUM_CASES, SHAPE, SPACING_MM, TinyDataset, make_trainer

pytestmark = pytest.mark.integration


def test_a_trained_folder_is_asked_in_the_voxel_order_of_its_data(dataset: TinyDataset, tmp_path: Path) -> None:
    trainer = make_trainer(dataset, "nnUNetTrainer")
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, 2, 1
    trainer.run_training()
    trainer.perform_actual_validation(False)
    folder, table, out = dataset.output(trainer="nnUNetTrainer").parent, tmp_path / "table.json", tmp_path / "out"
    table.write_text(json.dumps({"third_ventricle": "brain", "fourth_ventricle": "brain", "csf": "background"}))
    generator = ["--generator", "python:tests.stand_in_generator:make", "--option", f"spacing_mm={SPACING_MM}"]
    generator += ["--option", f"shape={'x'.join(map(str, SHAPE))}", "--control", "2", "--device", "cpu"]
    asked = ["--alignment", str(folder), "--alignment-mapping", str(table), "--out", str(out), "--json"]
    assert run(["evaluate", *generator, *asked]) == 0
    (found,) = json.loads((out / "evaluation.json").read_text())["control"]["ventricles"]["alignment"].values()
    assert found["model"]["voxel_order"] == "LAS"  # that of the raw files, told by nnU-Net's own validation
    (note,) = found["model"]["notes"]
    assert note.endswith("its volume is that of lateral_ventricle_left, lateral_ventricle_right alone")
    assert sum(row["samples"] for row in found["terciles"]) == 2
    assert found["samples"] == 2
    assert list(found["dice"]) == ["brain", "lateral_ventricle_left", "lateral_ventricle_right"]
    assert all(0 <= one["mean_dice"] <= 1 for one in found["pairs"])
    assert len(list((dataset.raw / "labelsTr").iterdir())) == NUM_CASES
