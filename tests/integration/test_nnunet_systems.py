"""Every system that is fitted, from a data set to a training: the four commands on a tiny data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthaug.fitting.systems import SYSTEMS
from tests.integration.conftest import use
from tests.integration.test_nnunet_configurations import SHORT, assert_trained, command
from tests.integration.tiny_nnunet import TinyDataset, copy_of_raw

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STAGE = {"share": 1.0, "max_steps": 8}
COMMON: dict[str, Any] = {
    "shape": [64, 64, 64],
    "spacing_mm": 2.5,
    "controls": ["brain"],
    "bank": {"label_variants": 1, "tail_variants": 0, "pair_variants": 1},
}
SLICES = {
    "mask_sequence": {"network": {"channels": [32, 32]}, "stage": STAGE},
    "image_sequence": {
        "network": {"channels": [8, 8, 8]},
        "image_discriminator": {"channels": 8},
        "sequence_discriminator": {"channels": 8},
        "batch": {"windows": 1, "length": 3, "crop": [32, 32]},
        "stage": {**STAGE, "betas": [0.5, 0.99]},
    },
    "slice_diffusion": {
        "network": {"channels": [16, 32, 32], "label_channels": 8},
        "batch": {"slices": 2, "crop": [32, 32]},
        "stage": STAGE,
    },
    "sampling": {"mask_steps": 3, "refine_steps": 2, "image_steps": 3, "volume_rounds": 0},
}
SETTINGS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("medgen3d", "vid2vid", "ddpm2d"), SLICES),
    "alpha-wgan": {
        "network": {"channels": [8, 8, 16, 16, 16], "code_size": 32},
        "sampling": {"candidates": 1},
        "stage": STAGE,
    },
}


def test_every_system_is_tried_here_or_in_the_demo() -> None:
    assert set(SETTINGS) | {"guided-ldm"} == set(SYSTEMS)


@pytest.mark.parametrize("system", SETTINGS)
def test_a_system_is_fitted_makes_a_cache_and_is_trained_with(
    base: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    dataset = copy_of_raw(base, tmp_path / "nnunet", "Dataset907_Systems").preprocess("3d_fullres")
    use(dataset, monkeypatch)
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({**COMMON, **SETTINGS[system]}))
    number, folder = dataset.name[7:10], tmp_path / "generator"
    synthaug = ["-m", "synthaug"]
    dataset.run(["python", *synthaug, "fit", number, "-g", system, "--settings", str(settings), "--out", str(folder)])
    low, high = json.loads((folder / "config.json").read_text())["limits_ml"]["brain"]
    dataset.run(
        ["python", *synthaug, "precompute", "--generator", str(folder), "--dataset", number, "--num", "2",
         "--schedule", f"brain=uniform:{low}:{high}", "--configuration", "3d_fullres", "--ratio", "0.5"]
    )  # fmt: skip
    dataset.run(command(dataset), **SHORT)
    assert_trained(dataset)
