"""The table of levels has a row for each step from real to generated label maps."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks import detail_levels
from synthaug.labels import LabelScheme
from tests.generators.tiny_guided_ldm import SHAPE, write_tiny_generator

SCHEME = LabelScheme.load("ventricles-t1")


def slabs(number: int) -> np.ndarray:
    """A brain of slabs, with all structures."""
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[4:28, 4:28, 4:28] = np.linspace(1, len(SCHEME.names), 24).round().astype(np.uint8)[:, None, None]
    label[4:28, 4:28, 4 + number] = SCHEME.id_of("csf")
    return label


def write_label_maps(folder: Path) -> Path:
    """Three of them."""
    folder.mkdir()
    for number in range(3):
        label = slabs(number)
        nib.save(nib.Nifti1Image(label, np.diag([4.0, 4.0, 4.0, 1.0])), folder / f"case_{number}.nii.gz")
    return folder


def test_every_step_is_measured_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, real = write_tiny_generator(tmp_path / "weights"), write_label_maps(tmp_path / "real")
    path = tmp_path / "levels.json"
    arguments = ["--generator", str(weights), "--real", str(real), "--num", "2", "--json", str(path)]
    assert detail_levels.main(arguments) == 0
    written = json.loads(path.read_text())
    assert list(written) == [detail_levels.REAL, *detail_levels.REDRAWN, detail_levels.GENERATED]
    printed = capsys.readouterr().out
    for name, row in written.items():
        assert f"| {name} | 2 |" in printed
        assert row["count"] == 2
        assert np.isfinite([row["out_of_range"], row["pieces"], row["surface"]]).all()


def test_pieces_and_outer_faces_are_counted() -> None:
    from synthaug.evaluation.anatomy import Anatomy
    from synthaug.evaluation.anatomy_report import RealRange

    label = np.zeros((12, 12, 12), dtype=np.uint8)
    label[0:2, 0:2, 0:2] = 1  # at the edge of the field of view
    label[6:9, 6:8, 6:7] = 1
    real = RealRange.of([Anatomy.of("", slabs(number), SCHEME, 1.0) for number in range(3)], SCHEME)
    row = detail_levels.measure([label], SCHEME, 1.0, real, [1])
    assert (row.count, row.pieces) == (1, 2)
    assert row.surface * 1000 == pytest.approx(24 + 2 * (3 * 2 + 3 * 1 + 2 * 1))
