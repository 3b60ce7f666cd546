"""nnU-Net's real command lines, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from synthaug.labels import LabelScheme
from tests.integration.tiny_nnunet import (
    REPOSITORY,
    TinyDataset,
    full_table,
    make_cache,
    metrics,
    prepare,
    shrink_plans,
    validated,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TRAIN = ("nnUNetv2_train", "901")
DEVICE = ("-tr", "nnUNetTrainerSynthAug", "-device", "cpu")
SHORT = {"SYNTHAUG_ITERATIONS": "3", "SYNTHAUG_VALIDATION_ITERATIONS": "1", "nnUNet_n_proc_DA": "1"}

# A Python in which neither package can be imported, as on a machine without synthaug.
WITHOUT_SYNTHAUG = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("synthaug", "nnunet_trainers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

sys.meta_path.insert(0, Absent())
"""
# What a platform does where forkserver is the default, as Python 3.14 has it.
FORKSERVER = """
import multiprocessing
from nnunetv2.run.run_training import run_training_entry
if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")
    run_training_entry()
"""


STAND_IN = "python:tests.stand_in_generator:make"


def scripts(folder: Path) -> Path:
    """A folder with ``synthaug`` in it, which is on the path only where it is installed."""
    made = folder / "bin"
    made.mkdir()
    script = made / "synthaug"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m synthaug "$@"\n')
    script.chmod(0o755)
    return made


def test_plan_precompute_train_continue_and_predict(tmp_path: Path) -> None:
    dataset = TinyDataset(tmp_path).write_raw().plan()
    (dataset.raw / "imagesTs").mkdir()
    shutil.copy(dataset.raw / "imagesTr" / "tiny_0_0000.nii.gz", dataset.raw / "imagesTs" / "new_0000.nii.gz")
    table = tmp_path / "mapping.json"
    table.write_text(json.dumps(full_table(LabelScheme.load("ventricles-t1"))))
    chosen = {
        "DEVICE": "cpu",
        "NUM": "4",
        "SCHEDULE": "uniform:15:50",
        "GENERATOR": STAND_IN,
        "SYNTHAUG_EPOCHS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{scripts(tmp_path)}{os.pathsep}{os.environ['PATH']}",
    }
    options = ["--mapping", str(table), "--option", "shape=48x48x48", "--option", "spacing_mm=2.5"]
    done = dataset.run(
        ["bash", str(REPOSITORY / "examples" / "nnunet_train.sh"), "901", "0", *options], **SHORT, **chosen
    )
    assert "of 4 synthetic cases" not in done.stdout + done.stderr  # each was preprocessed beside the generator
    assert (dataset.output() / "predictions" / "new.nii.gz").is_file()
    output = dataset.output()
    splits = json.loads((dataset.preprocessed / "splits_final.json").read_text())
    assert validated(output) == sorted(splits[0]["val"])
    (first,) = metrics(output)
    assert first["realised_ratio"] == pytest.approx(0.5, abs=0.2)

    continued = dataset.run([*TRAIN, "3d_fullres", "0", *DEVICE, "--c"], **SHORT, SYNTHAUG_EPOCHS="2")
    assert "Epoch 1" in continued.stdout
    assert "Epoch 0" not in continued.stdout
    assert [(line["epoch"], line["progress"]) for line in metrics(output)] == [(0, 0.5), (1, 0.75)]

    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "sitecustomize.py").write_text(WITHOUT_SYNTHAUG)
    predicted = tmp_path / "predicted"
    arguments = ["-i", str(dataset.raw / "imagesTr"), "-o", str(predicted), "-d", "901", "-c", "3d_fullres", "-f", "0"]
    done = dataset.run(
        ["nnUNetv2_predict", *arguments, *DEVICE, "--disable_tta", "-npp", "1", "-nps", "1"],
        PYTHONPATH=str(tmp_path / "absent"),
    )
    assert len(list(predicted.glob("tiny_*.nii.gz"))) == 6, done.stdout
    nothing = dataset.try_run([*TRAIN, "3d_fullres", "0", *DEVICE], PYTHONPATH=str(tmp_path / "absent"))
    assert "Could not find requested nnunet trainer" in nothing.stderr


@pytest.mark.parametrize("start_method", ["fork", "forkserver"])
def test_workers_of_either_start_method_draw_and_are_counted(
    dataset: TinyDataset, tmp_path: Path, start_method: str
) -> None:
    shrink_plans(dataset.preprocessed / "nnUNetPlans.json")
    prepare(dataset, make_cache(tmp_path / "cache", num=3), mix="synthetic-then-real")
    script = tmp_path / "train.py"
    script.write_text(FORKSERVER.replace("forkserver", start_method))
    dataset.run(
        ["python", str(script), *TRAIN[1:], "3d_fullres", "0", *DEVICE],
        **{**SHORT, "nnUNet_n_proc_DA": "2", "SYNTHAUG_EPOCHS": "2"},
    )
    first, second = metrics(dataset.output())
    assert first["real"] == 0
    assert first["synthetic"] >= 6
    # workers draw ahead, so that the second epoch may begin with draws that were made in the first
    assert second["real"] > 0
    assert second["progress"] == 0.75


def test_a_refusal_is_one_line_and_exit_code_2(dataset: TinyDataset) -> None:
    done = dataset.try_run([*TRAIN, "3d_fullres", "0", *DEVICE], SYNTHAUG_RATIO="2")
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert "training refused: " in done.stdout
    assert "SYNTHAUG_RATIO" in done.stdout
