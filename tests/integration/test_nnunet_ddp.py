"""Two processes that train together: each draws its own share, and a refusal ends both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.volumes import CaseRecord
from tests.integration.tiny_nnunet import TinyDataset, make_cache, metrics, prepare, validated

pytestmark = [pytest.mark.integration, pytest.mark.slow]

COMMAND = ["python", "-m", "tests.integration.ddp_on_cpu", "901", "3d_fullres", "0", "nnUNetTrainerSynthAug"]
SHORT = {"SYNTHAUG_EPOCHS": "1", "SYNTHAUG_ITERATIONS": "7", "SYNTHAUG_VALIDATION_ITERATIONS": "1"}


def test_two_processes_train_on_their_own_draws(dataset: TinyDataset, tmp_path: Path) -> None:
    prepare(dataset, make_cache(tmp_path / "cache"), mix=0.5)
    dataset.run(COMMAND, **SHORT, nnUNet_n_proc_DA="0")
    output = dataset.output()
    (first,), (second,) = metrics(output), metrics(output, "_rank1")
    # one of the two cases of a batch each, seven iterations and the batch before them
    assert [(one["draws"], one["synthetic"]) for one in (first, second)] == [(8, 4), (8, 4)]
    held_out = json.loads((dataset.preprocessed / "splits_final.json").read_text())[0]["val"]
    assert validated(output) == sorted(held_out)
    assert (output / "checkpoint_final.pth").is_file()


def test_a_refusal_is_told_once_and_ends_all_processes(dataset: TinyDataset, tmp_path: Path) -> None:
    held_out = sorted(path.name for path in (dataset.raw / "labelsTr").iterdir())
    seen = [CaseRecord(name.removesuffix(".nii.gz"), None, None) for name in held_out]
    prepare(dataset, make_cache(tmp_path / "cache", num=2, training_cases=seen), fold="all")
    done = dataset.try_run(COMMAND, **SHORT, nnUNet_n_proc_DA="0")
    assert done.returncode != 0
    assert done.stdout.count("training refused") == 1
    # nnU-Net's own process reports that one of its children ended; what it ended with comes last
    assert "fitted on 2 validation case(s) of fold 0" in done.stderr.strip().splitlines()[-1]
    assert not (dataset.output() / "synthaug_metrics.jsonl").exists()
