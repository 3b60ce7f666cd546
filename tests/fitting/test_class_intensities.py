"""Mean and deviation of the intensities of each class."""

from __future__ import annotations

from pathlib import Path

import torch

from synthaug.files.tensors import write_tensors
from synthaug.fitting.class_intensities import measure_classes

CLASSES = 4


def test_classes_are_measured_over_all_pairs(tmp_path: Path) -> None:
    label = torch.tensor([0, 1, 1, 2], dtype=torch.uint8).view(1, 1, 4)
    paths = [tmp_path / f"pairs_{index}_00.safetensors" for index in range(2)]
    for path, last in zip(paths, (1.0, 0.5), strict=True):
        write_tensors(path, {"label": label, "image": torch.tensor([0.0, 0.25, 0.75, last]).view(1, 1, 1, 4).half()})
    mean, deviation = measure_classes(paths, CLASSES)
    assert mean.shape == deviation.shape == (CLASSES, 1)
    torch.testing.assert_close(mean[1:3, 0], torch.tensor([0.5, 0.75]))
    torch.testing.assert_close(deviation[1:3, 0], torch.tensor([0.25, 0.25]))
    # what no pair has is taken for tissue of any kind
    torch.testing.assert_close(mean[3, 0], torch.tensor(3.5 / 6))
