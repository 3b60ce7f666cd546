"""Fixtures for tests with nnU-Net."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.tiny_nnunet import TinyDataset, base_dataset, copy_of


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> TinyDataset:
    """The tiny dataset, planned and preprocessed for 3d_fullres; not to be changed."""
    return base_dataset(tmp_path_factory.getbasetemp())


@pytest.fixture
def dataset(base: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyDataset:
    """A copy of it, with nnU-Net's variables set for this process and short epochs without worker processes."""
    copy = copy_of(base, tmp_path / "nnunet")
    use(copy, monkeypatch)
    return copy


def use(dataset: TinyDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set nnU-Net's variables for this process."""
    short = {"SYNTHAUG_EPOCHS": "2", "SYNTHAUG_ITERATIONS": "3", "SYNTHAUG_VALIDATION_ITERATIONS": "1"}
    for name, value in {**dataset.environment, "nnUNet_n_proc_DA": "0", **short}.items():
        monkeypatch.setenv(name, value)
