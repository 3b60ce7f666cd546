"""TorchIO's subjects: synthetic ones are subjects too, go through its transforms and are collated with real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthaug import SynthAugment
from synthaug.store import Store, StoreInfo
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

torchio: Any = pytest.importorskip("torchio", reason="torchio is not installed")

AFFINE = np.diag([-4.0, -4.0, 4.0, 1.0])  # LPS, 4 mm


@pytest.fixture
def store(tmp_path: Path) -> Store:
    generator = StandInGenerator()
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator, (20.0, 30.0, 40.0))
    return store


def subjects(transform: Any = None) -> Any:
    def subject(number: int) -> Any:
        return torchio.Subject(
            t1=torchio.ScalarImage(tensor=torch.rand(1, 32, 32, 32), affine=AFFINE),
            seg=torchio.LabelMap(tensor=torch.zeros(1, 32, 32, 32, dtype=torch.int16), affine=AFFINE),
            name=f"real_{number}",
        )

    return torchio.SubjectsDataset([subject(number) for number in range(8)], transform=transform)


def test_synthetic_subjects_have_the_real_ones_kinds_and_orientation(store: Store) -> None:
    data = SynthAugment(subjects(), store, ratio=0.5, keys=("t1", "seg"))
    made = [data[index] for index in range(8) if data.is_synthetic(index)]
    assert len(made) == 4
    for sample in made:
        assert isinstance(sample, torchio.Subject)
        assert isinstance(sample["t1"], torchio.ScalarImage)
        assert isinstance(sample["seg"], torchio.LabelMap)
        assert sample["t1"].orientation == ("L", "P", "S")
        np.testing.assert_allclose(sample["t1"].affine, sample["seg"].affine)
        assert sample["seg"].data.dtype == torch.int16
        assert sample["name"].startswith("synthaug:")
        assert sample["synthaug"]["synthetic"]
        drawn = store.read(sample["synthaug"]["name"])
        ids = drawn.scheme.resolve("ventricles")
        assert int(torch.isin(sample["seg"].data, torch.tensor(ids)).sum()) == int(np.isin(drawn.label, ids).sum())
    real = next(data[index] for index in range(8) if not data.is_synthetic(index))
    assert isinstance(real, torchio.Subject)
    assert not real["synthaug"]["synthetic"]


def test_transforms_and_the_subjects_loader_take_both(store: Store) -> None:
    transform = torchio.Compose([torchio.CropOrPad(24), torchio.RandomFlip(axes=(0,)), torchio.ZNormalization()])
    data = SynthAugment(subjects(transform), store, ratio=0.5, keys=("t1", "seg"), transform=transform)
    batch = next(iter(torchio.SubjectsLoader(data, batch_size=8)))
    assert batch["t1"][torchio.DATA].shape == (8, 1, 24, 24, 24)
    assert int(torch.as_tensor(batch["synthaug"]["synthetic"]).sum()) == 4
    again = SynthAugment(subjects(transform), store, ratio=0.5, keys=("t1", "seg"), transform=transform)
    index = next(index for index in range(8) if data.is_synthetic(index))
    torch.testing.assert_close(data[index]["t1"].data, again[index]["t1"].data)
