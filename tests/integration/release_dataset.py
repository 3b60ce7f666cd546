"""Writes a small raw nnU-Net dataset from one pair of ``synthaug sample``: coarser copies with a little noise.

python tests/integration/release_dataset.py PAIRS

Runs where only the wheel is installed: nothing of tests/ is imported.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nibabel
import numpy as np

NUMBER, NAME = 901, "Dataset901_Release"
NUM_CASES = 5
EVERY = 4
"""Of so many voxels one is kept, along each axis: what trains in seconds."""


def write_dataset(pairs: Path, raw: Path) -> Path:
    """Write the dataset and return its folder.

    Args:
        pairs: folder that ``synthaug sample`` wrote.
        raw: nnU-Net's folder of raw datasets.
    """
    folder = raw / NAME
    image_file, label_file = (next(iter(sorted(pairs.glob(f"*_{kind}.nii.gz")))) for kind in ("image", "label"))
    structures = json.loads((pairs / "labels.json").read_text())["structures"]
    rng = np.random.default_rng(0)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(NUM_CASES):
        for file, path in (
            (image_file, folder / "imagesTr" / f"case_{number}_0000.nii.gz"),
            (label_file, folder / "labelsTr" / f"case_{number}.nii.gz"),
        ):
            whole = nibabel.Nifti1Image.from_filename(file)
            kept = np.asarray(whole.dataobj)[::EVERY, ::EVERY, ::EVERY]
            if file is image_file:
                kept = kept + rng.normal(0, 0.01 * float(kept.std()), kept.shape).astype(np.float32)
            affine = whole.affine @ np.diag([EVERY, EVERY, EVERY, 1])
            nibabel.save(nibabel.Nifti1Image(kept, affine), path)
    description = {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, **structures},
        "numTraining": NUM_CASES,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


if __name__ == "__main__":
    print(write_dataset(Path(sys.argv[1]), Path(os.environ["nnUNet_raw"])))
