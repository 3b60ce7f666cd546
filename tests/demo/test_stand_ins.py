"""Stand-ins for real cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.demo import stand_ins
from synthaug.labels import LabelScheme
from synthaug.volumes import read_pair
from tests.stand_in_generator import StandInGenerator


def test_the_dataset_says_that_its_cases_are_no_patients(tmp_path: Path) -> None:
    folder = stand_ins.make_stand_ins(StandInGenerator(), tmp_path, num=2)
    described = json.loads((folder / "dataset.json").read_text())
    assert "NOT PATIENTS" in described["description"]
    assert "StandIns" in folder.name
    assert sorted(path.name for path in (folder / "labelsTr").iterdir()) == ["standin_000.nii.gz", "standin_001.nii.gz"]


def test_the_dataset_is_one_that_nnunet_reads(tmp_path: Path) -> None:
    folder = stand_ins.make_stand_ins(StandInGenerator(), tmp_path, num=1)
    described = json.loads((folder / "dataset.json").read_text())
    assert described["channel_names"] == {"0": "T1"}
    scheme = LabelScheme.from_nnunet(described)
    images = [folder / "imagesTr" / "standin_000_0000.nii.gz"]
    pair = read_pair(images, folder / "labelsTr" / "standin_000.nii.gz", scheme, ("T1",))
    assert pair.image.shape == (1, 32, 32, 32)
    assert (pair.image[0][pair.label == 0] == 0).all()


def test_a_complete_dataset_is_not_made_again(tmp_path: Path) -> None:
    generator = StandInGenerator()
    stand_ins.make_stand_ins(generator, tmp_path, num=1)
    stand_ins.make_stand_ins(generator, tmp_path, num=1)
    assert len(generator.calls) == 1


def test_a_stand_in_is_not_a_pair_of_the_generator() -> None:
    generator = StandInGenerator()
    stand_in = stand_ins.make_stand_in(generator, 5)
    ((volume_ml, seed),) = generator.calls
    (pair,) = generator.generate([Condition({"ventricles": volume_ml})], [seed])
    assert (stand_in.label != pair.label).mean() > 0.01
    inside = (stand_in.label > 0) & (pair.label > 0)
    assert np.corrcoef(stand_in.image[0][inside], pair.image[0][inside])[0, 1] < 0.99


def test_the_same_seed_makes_the_same_stand_in() -> None:
    first, second = (stand_ins.make_stand_in(StandInGenerator(), 5) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.label, second.label)


def test_coarser_voxels_keep_place_and_volume() -> None:
    (pair,) = StandInGenerator((64, 64, 64), 2.0).generate([Condition({"ventricles": 60.0})], [1])
    coarse = stand_ins.coarsen(pair, 2)
    assert coarse.label.shape == (32, 32, 32)
    np.testing.assert_allclose(coarse.spacing_mm, 4.0)
    # the middle of the grid stays where it was
    middle = [pair.affine @ [*((np.array(one.label.shape) - 1) / 2), 1] for one in (pair,)]
    np.testing.assert_allclose(coarse.affine @ [*((np.array(coarse.label.shape) - 1) / 2), 1], middle[0])
    assert coarse.volumes_ml()["ventricles"] == pytest.approx(60.0, rel=0.1)
