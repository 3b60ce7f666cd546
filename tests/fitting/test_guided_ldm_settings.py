"""What a settings file leaves out is as it is without the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthaug.cli.fit_preparation import read_settings
from synthaug.errors import SynthAugError
from synthaug.fitting.guided_ldm_settings import GuidedLDMSettings
from synthaug.fitting.mask_detail import CroppedDetailBatch

SHIPPED = Path(__file__).resolve().parents[2] / "pretrained" / "ventricles-t1-1mm" / "settings.json"
GRID = {"shape": [96, 96, 96], "spacing_mm": 2.0}


def read(path: Path, **content: object) -> GuidedLDMSettings:
    path.write_text(json.dumps({**GRID, **content}))
    settings = read_settings(path, GuidedLDMSettings)
    assert isinstance(settings, GuidedLDMSettings)
    return settings


def test_a_section_that_is_given_in_part_keeps_the_rest(tmp_path: Path) -> None:
    settings = read(tmp_path / "settings.json", mask_detail_1={"batch": {"samples": 4}})
    assert settings.mask_detail_1.batch == CroppedDetailBatch(samples=4)
    assert settings.mask_detail_1.stage == read(tmp_path / "settings.json").mask_detail_1.stage


@pytest.mark.parametrize(
    ("section", "count"),
    [
        ("label_autoencoder", "crops"),
        ("mask_diffusion", "samples"),
        ("mask_detail_0", "samples"),
        ("mask_detail_1", "samples"),
        ("image_autoencoder", "crops"),
    ],
)
def test_a_batch_of_none_is_refused_before_hours_of_training(tmp_path: Path, section: str, count: str) -> None:
    with pytest.raises(SynthAugError, match=rf"{section}.batch.{count}"):
        read(tmp_path / "settings.json", **{section: {"batch": {count: 0}}})


def test_the_recipe_that_ships_learns_the_finest_level_on_crops() -> None:
    settings = read_settings(SHIPPED, GuidedLDMSettings)
    assert isinstance(settings, GuidedLDMSettings)
    assert settings.mask_detail_1.batch.crop == (96, 96, 96)


def test_the_coarser_level_has_no_crop(tmp_path: Path) -> None:
    with pytest.raises(SynthAugError, match=r"mask_detail_0.batch.*crop"):
        read(tmp_path / "settings.json", mask_detail_0={"batch": {"crop": [96, 96, 96]}})
