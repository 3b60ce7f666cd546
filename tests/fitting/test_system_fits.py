"""Whole fits of every system but the guided LDM on small volumes: stop and resume, and a generator that loads."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator

from synthaug.conditions import Condition
from synthaug.configuration import load_config
from synthaug.errors import ConfigurationError
from synthaug.fitting.alpha_wgan_fit import AlphaWGANSettings
from synthaug.fitting.bank import BankSettings
from synthaug.fitting.generator_fit import FitTask, GeneratorFit
from synthaug.fitting.image_sequence import ImageSequenceBatch
from synthaug.fitting.sequence_settings import (
    ImageSequenceSettings,
    MaskSequenceSettings,
    SequenceSettings,
    SliceDiffusionSettings,
)
from synthaug.fitting.settings import FitSettings
from synthaug.fitting.slice_diffusion import SliceDiffusionBatch
from synthaug.fitting.stage import StageSettings
from synthaug.fitting.systems import SYSTEMS, find_system
from synthaug.generators import registry
from synthaug.generators.registry import load_generator
from synthaug.labels import LabelScheme
from tests.fitting.small_cases import SHAPE, small_cases

STAGE = StageSettings(share=1.0, max_steps=2)
COMMON: dict[str, Any] = {
    "shape": SHAPE,
    "spacing_mm": 4.0,
    "controls": ("ventricles", "brain"),
    "limits_ml": {"ventricles": (5.0, 80.0)},
    "bank": BankSettings(label_variants=2, pair_variants=1, tail_variants=0),
}
SLICES = SequenceSettings(
    **COMMON,
    mask_sequence=MaskSequenceSettings({"channels": [32, 32], "embedding_channels": 16}, stage=STAGE),
    image_sequence=ImageSequenceSettings(
        {"channels": [8, 8, 8]},
        {"channels": 8},
        {"channels": 8},
        ImageSequenceBatch(windows=1, length=3, crop=(32, 32)),
        STAGE,
    ),
    slice_diffusion=SliceDiffusionSettings(
        {"channels": [16, 32, 32], "label_channels": 8}, SliceDiffusionBatch(slices=2, crop=(32, 32)), STAGE
    ),
)
SETTINGS: dict[str, FitSettings] = {
    **dict.fromkeys(("medgen3d", "vid2vid", "ddpm2d"), SLICES),
    "alpha-wgan": AlphaWGANSettings(
        **COMMON, network={"channels": [8, 8, 16, 16, 16], "code_size": 32}, stage=replace(STAGE, betas=(0.5, 0.99))
    ),
}
FILES = {
    "medgen3d": {
        "image_sequence",
        "mask_sequence",
        *(f"slice_diffusion_{one}" for one in ("axial", "coronal", "sagittal")),
    },
    "vid2vid": {"image_sequence", "mask_sequence"},
    "ddpm2d": {"mask_sequence", *(f"slice_diffusion_{one}" for one in ("axial", "coronal", "sagittal"))},
    "alpha-wgan": {"generator"},
}


def make_fit(system: str, folder: Path, settings: FitSettings | None = None) -> GeneratorFit[Any, Any]:
    scheme = LabelScheme.load("ventricles-t1")
    task = FitTask(
        name="tiny",
        cases=small_cases(),
        scheme=scheme,
        channels=("T1",),
        settings=settings or SETTINGS[system],
        folder=folder,
        budget_seconds=4000,
        accelerator=Accelerator(cpu=True, mixed_precision="no"),
    )
    return find_system(system).fit(task)


def test_every_system_is_tried_here_or_beside() -> None:
    assert set(SETTINGS) | {"guided-ldm"} == set(SYSTEMS) == set(registry._SYSTEMS)
    assert {name: system.fit.system for name, system in SYSTEMS.items()} == {name: name for name in SYSTEMS}


@pytest.mark.parametrize("system", SETTINGS)
@pytest.mark.usefixtures("fresh_accelerator")
def test_a_fit_that_is_stopped_goes_on_and_gives_a_generator_that_loads(system: str, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    with pytest.raises(TimeoutError, match="step 1"):
        make_fit(system, folder).run(deadline=time.time() - 1)
    make_fit(system, folder).run()
    assert {path.stem for path in folder.glob("*.safetensors")} == FILES[system]
    generator = load_generator(folder, device="cpu")
    low, high = generator.bounds.limits_ml["ventricles"]
    assert (low, high) == (5.0, 80.0)
    assert [case.identifier for case in generator.training_cases] == ["case_0", "case_1"]
    (pair,) = generator.generate([Condition({"ventricles": 25.0})], [7])
    assert pair.label.shape == SHAPE
    assert (pair.image[0][pair.label == 0] == 0).all()
    assert (pair.image[0][pair.label > 0] > 0).all()
    (again,) = load_generator(folder, device="cpu").generate([Condition({"ventricles": 25.0})], [7])
    np.testing.assert_array_equal(pair.image, again.image)


@pytest.mark.usefixtures("fresh_accelerator")
def test_work_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        make_fit("vid2vid", tmp_path).run(deadline=time.time() - 1)
    with pytest.raises(ConfigurationError, match="other cases or settings"):
        make_fit("vid2vid", tmp_path, replace(SLICES, seed=3)).run()
    with pytest.raises(ConfigurationError, match="other cases or settings"):
        make_fit("medgen3d", tmp_path).run()


@pytest.mark.parametrize("system", SETTINGS)
def test_fields_of_view_that_the_networks_do_not_take_are_refused_before_work(system: str) -> None:
    scheme = LabelScheme.load("ventricles-t1")
    with pytest.raises(ConfigurationError, match=r"settings\.json, shape: is .*multiples of"):
        replace(SETTINGS[system], shape=(32, 40, 32)).check(scheme, "settings.json")


@pytest.mark.usefixtures("fresh_accelerator")
@pytest.mark.parametrize("system", SETTINGS)
def test_arguments_that_no_network_takes_are_one_line_before_work(system: str, tmp_path: Path) -> None:
    wrong = {"chanels": [8]}
    settings: Any = SETTINGS[system]
    if system == "alpha-wgan":
        settings = replace(settings, network=wrong)
    else:
        settings = replace(settings, mask_sequence=replace(settings.mask_sequence, network=wrong))
    with pytest.raises(ConfigurationError, match=r"settings: no networks of these sizes .*chanels.*mend the arguments"):
        make_fit(system, tmp_path, settings)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"slice_diffusion": {"batch": {"crop": [36, 36]}}}, "multiples of 8"),
        ({"image_sequence": {"batch": {"crop": [16, 16]}}}, "crop"),
        ({"image_sequence": {"batch": {"length": 2}}}, "judges 3 slices together"),
        ({"image_sequence": {"batch": {"windows": 0}}}, "windows"),
        ({"image_sequence": {"stage": {"share": 1, "betas": [0.5, 2.0]}}}, "betas"),
        ({"slice_diffusion": {"batch": {"low_noise_steps": 5000}}}, "low_noise_steps"),
        ({"mask_sequence": {"network": {"slices": 64}}}, "allowed: 2 to 32"),
        ({"mask_sequence": {"batch": {"forward_probability": 1.5}}}, "forward_probability"),
        ({"sampling": {"views": []}}, "views"),
        ({"sampling": {"views": ["axial", "axial"]}}, "each once"),
    ],
)
def test_settings_that_a_later_stage_would_stumble_over_are_refused(changes: dict[str, Any], told: str) -> None:
    scheme = LabelScheme.load("ventricles-t1")
    with pytest.raises(ConfigurationError, match=told):
        load_config(SequenceSettings, {"shape": [32, 32, 32], **changes}, where="settings.json").check(
            scheme, "settings.json"
        )


@pytest.mark.usefixtures("fresh_accelerator")
def test_arguments_of_opponents_are_told_before_the_first_stage(tmp_path: Path) -> None:
    wrong = replace(SLICES, image_sequence=replace(SLICES.image_sequence, image_discriminator={"chanels": 8}))
    with pytest.raises(ConfigurationError, match="chanels"):
        make_fit("vid2vid", tmp_path, wrong)


@pytest.mark.usefixtures("fresh_accelerator")
@pytest.mark.parametrize("name", ["mask_sequence.resume.pt", "mask_sequence.safetensors"])
def test_damaged_work_is_named_with_its_mend(tmp_path: Path, name: str) -> None:
    with pytest.raises(TimeoutError):
        make_fit("vid2vid", tmp_path).run(deadline=time.time() - 1)
    (tmp_path / "work" / name).write_bytes(b"damaged")
    with pytest.raises(ConfigurationError, match="is damaged; delete it"):
        make_fit("vid2vid", tmp_path).run()
