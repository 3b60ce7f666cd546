"""The example that makes a raw nnU-Net dataset of the multi-atlas scans."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.volumes import read_image, read_label, read_pair

ROOT = Path(__file__).parents[2]
SUBJECTS = ("1000", "1001", "1116")


def test_a_dataset_with_ventricles_apart_and_enlarged_ones_held_out(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tmp_path / "malf"
    few.mkdir()
    for subject in SUBJECTS:
        for kind in ("T1", "labels"):
            (few / f"{subject}_{kind}.nii.gz").symlink_to(shared_data / "malf" / f"{subject}_{kind}.nii.gz")
    for name in ("raw", "preprocessed"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    command = [sys.executable, str(ROOT / "examples" / "prepare_malf.py"), str(few), "--dataset", "501"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})

    dataset = NnunetDataset.find(501)
    assert dataset.channels == ("T1",)
    assert len(dataset.scheme.names) == 13
    assert dataset.split(0) == (["malf_1000", "malf_1001"], ["malf_1116"])
    assert dataset.split(5) == (["malf_1001"], ["malf_1000", "malf_1116"])
    case = dataset.cases["malf_1116"]
    pair = read_pair(case.images, case.label, dataset.scheme, ("T1",))
    assert pair.volumes_ml()["ventricles"] == pytest.approx(43.3, abs=0.1)  # as subjects.tsv says
    csf = dataset.scheme.id_of("csf")
    assert (pair.label[pair.image[0] != 0] > 0).all()
    source, _ = read_label(few / "1116_labels.nii.gz")
    scan, _ = read_image(few / "1116_T1.nii.gz")
    assert (pair.label[(source == 0) & (scan[0] != 0)] == csf).all()
    assert json.loads((tmp_path / "raw" / "Dataset501_Malf" / "dataset.json").read_text())["licence"].startswith(
        "CC BY-NC"
    )
