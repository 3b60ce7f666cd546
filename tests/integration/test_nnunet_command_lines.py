"""nnU-Net's real command lines, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.tiny_nnunet import REPOSITORY, TinyDataset, full_table, make_cache, metrics, prepare

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
multiprocessing.set_start_method("forkserver")
from nnunetv2.run.run_training import run_training_entry
if __name__ == "__main__":
    run_training_entry()
"""


def validated(output: Path) -> list[str]:
    summary = json.loads((output / "validation" / "summary.json").read_text())
    return sorted(Path(case["prediction_file"]).name.removesuffix(".nii.gz") for case in summary["metric_per_case"])


def test_plan_precompute_train_continue_and_predict(tmp_path: Path) -> None:
    dataset = TinyDataset(tmp_path).write_raw().plan()
    table = tmp_path / "mapping.json"
    from synthaug.labels import LabelScheme

    table.write_text(json.dumps(full_table(LabelScheme.load("ventricles-t1"))))
    generator = ["--generator", "python:tests.stand_in_generator:make"]
    options = ["--option", "shape=48x48x48", "--option", "spacing_mm=2.5"]
    wanted = ["--num", "4", "--schedule", "uniform:15:50", "--ratio", "0.5", "--mapping", str(table)]
    dataset.run(
        ["python", "-m", "synthaug", "precompute", *generator, *options, *wanted, "--dataset", "901", "--fold", "0"]
    )
    dataset.run([*TRAIN, "3d_fullres", "0", *DEVICE], **SHORT, SYNTHAUG_EPOCHS="1")
    output = dataset.output()
    splits = json.loads((dataset.preprocessed / "splits_final.json").read_text())
    assert validated(output) == sorted(splits[0]["val"])
    (first,) = metrics(output)
    assert first["realised_ratio"] == pytest.approx(0.5, abs=0.2)

    continued = dataset.run([*TRAIN, "3d_fullres", "0", *DEVICE, "--c"], **SHORT, SYNTHAUG_EPOCHS="2")
    assert "Epoch 1" in continued.stdout
    assert "Epoch 0" not in continued.stdout
    assert [(line["epoch"], line["progress"]) for line in metrics(output)] == [(0, 0.0), (1, 0.5)]

    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "sitecustomize.py").write_text(WITHOUT_SYNTHAUG)
    predicted = tmp_path / "predicted"
    arguments = ["-i", str(dataset.raw / "imagesTr"), "-o", str(predicted), "-d", "901", "-c", "3d_fullres", "-f", "0"]
    done = dataset.run(
        ["nnUNetv2_predict", *arguments, *DEVICE, "--disable_tta", "-npp", "1", "-nps", "1"],
        PYTHONPATH=str(tmp_path / "absent"),
    )
    assert len(list(predicted.glob("tiny_*.nii.gz"))) == 6, done.stdout
    nothing = dataset.run(
        ["nnUNetv2_train", "901", "3d_fullres", "0", *DEVICE], check=False, PYTHONPATH=str(tmp_path / "absent")
    )
    assert "Could not find requested nnunet trainer" in nothing.stderr


@pytest.mark.parametrize("start_method", ["fork", "forkserver"])
def test_workers_of_either_start_method_draw_and_are_counted(
    dataset: TinyDataset, tmp_path: Path, start_method: str
) -> None:
    prepare(dataset, make_cache(tmp_path / "cache", num=3), mix="synthetic-then-real")
    script = tmp_path / "train.py"
    script.write_text(FORKSERVER.replace("forkserver", start_method))
    dataset.run(
        ["python", str(script), *TRAIN[1:], "3d_fullres", "0", *DEVICE],
        **{**SHORT, "nnUNet_n_proc_DA": "2"},
        SYNTHAUG_EPOCHS="2",
        PYTHONPATH=str(REPOSITORY),
    )
    first, second = metrics(dataset.output())
    assert first["real"] == 0
    assert first["synthetic"] >= 6
    # workers draw ahead, so that the second epoch may begin with draws that were made in the first
    assert second["real"] > 0
    assert second["progress"] == 0.5


def test_a_refusal_is_one_line_and_exit_code_2(dataset: TinyDataset) -> None:
    done = dataset.run([*TRAIN, "3d_fullres", "0", *DEVICE], check=False, SYNTHAUG_RATIO="2")
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert "training refused: " in done.stdout
    assert "SYNTHAUG_RATIO" in done.stdout
