"""The whole fit on small volumes: bank, six stages, stop and resume, and a generator that loads and obeys its
contract.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from synthaug.anatomy import NormalRange, StructureMeasures
from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.fitting.bank import Bank, BankSettings
from synthaug.fitting.cases import FittingCase
from synthaug.fitting.generator_fit import FitTask
from synthaug.fitting.guided_ldm import GuidedLDMFit
from synthaug.fitting.guided_ldm_settings import (
    FineDetailSettings,
    GuidedLDMSettings,
    ImageAutoencoderSettings,
    ImageDiffusionSettings,
    LabelAutoencoderSettings,
    MaskDetailSettings,
    MaskDiffusionSettings,
)
from synthaug.fitting.image_autoencoder import ImageAutoencoderBatch
from synthaug.fitting.image_diffusion import ImageDiffusionBatch
from synthaug.fitting.label_autoencoder import LabelAutoencoderBatch
from synthaug.fitting.mask_detail import CroppedDetailBatch, MaskDetailBatch
from synthaug.fitting.mask_diffusion import MaskDiffusionBatch
from synthaug.fitting.stage import StageSettings
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord
from synthaug.warps.growth import growth_rates
from tests.fitting.small_cases import SHAPE, small_cases

STEPS, FINER_STEPS = 1, 2
OTHER = CaseRecord("other", "2" * 64, "3" * 64)


@pytest.fixture(scope="module")
def scheme() -> LabelScheme:
    return LabelScheme.load("ventricles-t1")


@pytest.fixture(scope="module")
def cases() -> list[FittingCase]:
    return small_cases()


@pytest.fixture(scope="module")
def settings() -> GuidedLDMSettings:
    network = {"channels": [8, 16], "norm_groups": 4}
    crop = (16, 16, 16)
    stage, finer = (StageSettings(share=1.0, max_steps=steps) for steps in (STEPS, FINER_STEPS))
    return GuidedLDMSettings(
        shape=SHAPE,
        spacing_mm=4.0,
        controls=("ventricles", "brain"),
        limits_ml={"ventricles": (5.0, 80.0)},
        bank=BankSettings(label_variants=2, pair_variants=1, inflated_pair_variants=1),
        label_autoencoder=LabelAutoencoderSettings(
            {"channels": 8, "num_res_blocks": 1}, LabelAutoencoderBatch(crop=crop), stage
        ),
        mask_diffusion=MaskDiffusionSettings(
            {"channels": [8, 16], "attention_levels": [False, True], "head_channels": 8},
            MaskDiffusionBatch(samples=2),
            stage,
        ),
        mask_detail_0=MaskDetailSettings({"channels": [8, 16], "num_res_blocks": 2}, MaskDetailBatch(), stage),
        mask_detail_1=FineDetailSettings({"channels": [8]}, CroppedDetailBatch(crop=crop), finer),
        image_autoencoder=ImageAutoencoderSettings(network, ImageAutoencoderBatch(crop=crop), stage),
        image_diffusion=ImageDiffusionSettings(network, ImageDiffusionBatch(crop=crop, coarsest=8), stage),
    )


def make_fit(
    cases: list[FittingCase], scheme: LabelScheme, settings: GuidedLDMSettings, folder: Path, precision: str = "no"
) -> GuidedLDMFit:
    accelerator = Accelerator(cpu=True, mixed_precision=precision)
    return GuidedLDMFit(
        FitTask(
            name="tiny",
            cases=cases,
            scheme=scheme,
            channels=("T1",),
            settings=settings,
            folder=folder,
            budget_seconds=4000,
            accelerator=accelerator,
        )
    )


@pytest.fixture(scope="module")
def fitted(
    cases: list[FittingCase], scheme: LabelScheme, settings: GuidedLDMSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return make_fit(cases, scheme, settings, tmp_path_factory.mktemp("fit") / "tiny").run()


def test_a_fitted_generator_loads_and_makes_pairs_with_its_contract(fitted: Path, scheme: LabelScheme) -> None:
    generator = GuidedLDM.load(fitted, device="cpu", steps=2)
    (pair,) = generator.generate([Condition({"ventricles": 25.0})], [7])
    assert pair.label.shape == SHAPE
    assert pair.image.shape == (1, *SHAPE)
    assert (pair.image[0][pair.label == 0] == 0).all()
    assert (pair.image[0][pair.label > 0] > 0).all()
    np.testing.assert_allclose(np.diag(pair.affine), [4, 4, 4, 1])
    assert [case.identifier for case in generator.training_cases] == ["case_0", "case_1"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_seed_gives_the_same_pair_and_another_seed_another(
    fitted: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthaug.generators.weights_generator.choose_dtype", lambda _: dtype)
    generator = GuidedLDM.load(fitted, device="cpu", steps=2)
    condition = Condition({"ventricles": 25.0})
    first, second = generator.generate([condition, condition], [7, 8])
    (again,) = GuidedLDM.load(fitted, device="cpu", steps=2).generate([condition], [7])
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    assert not np.array_equal(first.image, second.image)
    images = generator.generate_images([first.label, second.label], [7, 8])
    np.testing.assert_array_equal(images[0], first.image)
    np.testing.assert_array_equal(images[1], second.image)


def test_the_range_of_the_training_heads_is_kept_where_they_are_enough(
    fitted: Path,
    cases: list[FittingCase],
    scheme: LabelScheme,
    settings: GuidedLDMSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert GuidedLDMConfig.read(fitted).normal_range is None
    monkeypatch.setattr("synthaug.fitting.guided_ldm.FEWEST_BRAINS", len(cases))
    found = GuidedLDMConfig.read(make_fit(cases, scheme, settings, tmp_path / "tiny").run()).normal_range
    assert found is not None
    measured = [StructureMeasures.of(case.label.numpy(), scheme, 0.064) for case in cases]
    assert found.to_dict() == NormalRange.of(measured, scheme).to_dict()
    generator = GuidedLDM.load(tmp_path / "tiny", device="cpu", steps=2)
    (label,) = generator.sample_labels([Condition({"ventricles": 25.0})], [7])
    assert np.isin(label, scheme.resolve("ventricles")).sum() * 0.064 == pytest.approx(25.0, rel=0.05)


@pytest.mark.usefixtures("fresh_accelerator")
def test_a_fit_in_half_precision_moves_every_network_and_stays_finite(
    fitted: Path, cases: list[FittingCase], scheme: LabelScheme, settings: GuidedLDMSettings, tmp_path: Path
) -> None:
    half = make_fit(cases, scheme, settings, tmp_path / "tiny", "bf16").run()
    for path in sorted(half.glob("*.safetensors")):
        weights, in_full = load_file(path), load_file(fitted / path.name)
        assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
        assert any(not torch.equal(tensor, in_full[name]) for name, tensor in weights.items())


def test_a_fit_stopped_at_its_deadline_goes_on_where_it_stopped(
    cases: list[FittingCase], scheme: LabelScheme, settings: GuidedLDMSettings, tmp_path: Path
) -> None:
    stops = 0
    due = 5 * STEPS + FINER_STEPS
    for _ in range(due + 1):
        try:
            make_fit(cases, scheme, settings, tmp_path / "tiny").run(deadline=time.time() - 1)
            break
        except TimeoutError:
            stops += 1
    assert stops == due, "each run makes one step of one stage"
    assert (tmp_path / "tiny" / "config.json").exists()


@pytest.mark.parametrize("train_masks", [False, True])
def test_a_fit_goes_on_from_a_generator(
    fitted: Path,
    cases: list[FittingCase],
    scheme: LabelScheme,
    settings: GuidedLDMSettings,
    tmp_path: Path,
    train_masks: bool,
) -> None:
    begun = GuidedLDM.read(fitted)
    other = [replace(case, identifier=f"other_{case.identifier}", record=OTHER) for case in cases[:1]]
    like = settings.like(begun.config, masks=train_masks)
    task = FitTask(
        name="further",
        cases=other,
        scheme=scheme,
        channels=("T1",),
        settings=like,
        folder=tmp_path / "further",
        budget_seconds=4000,
        accelerator=Accelerator(cpu=True),
    )
    fit = GuidedLDMFit(task, begun=begun, train_masks=train_masks)
    further = fit.run()
    config = GuidedLDM.read(further).config
    for name in ("limits_ml", "mask_latent", "volume_prior", "required_structures", "grid"):
        assert getattr(config, name) == getattr(begun.config, name), name
    assert [case.identifier for case in config.training_cases] == ["case_0", "case_1", OTHER.identifier]
    for path in sorted(fitted.glob("*.safetensors")):
        before, after = load_file(path), load_file(further / path.name)
        changed = any(not torch.equal(tensor, after[name]) for name, tensor in before.items())
        assert changed == (train_masks or path.stem.startswith("image")), path.stem
    (pair,) = GuidedLDM.load(further, device="cpu", steps=2).generate([Condition({"ventricles": 25.0})], [7])
    assert np.isfinite(pair.image).all()


def test_work_of_other_cases_is_not_continued(
    fitted: Path, cases: list[FittingCase], scheme: LabelScheme, settings: GuidedLDMSettings
) -> None:
    with pytest.raises(ConfigurationError, match="other cases or settings"):
        make_fit(cases[:1], scheme, settings, fitted).run()


def test_the_bank_spreads_ventricles_over_the_range_and_is_not_made_twice(
    cases: list[FittingCase], scheme: LabelScheme, tmp_path: Path
) -> None:
    bank = Bank(tmp_path)
    settings = BankSettings(label_variants=4, pair_variants=1, inflated_pair_variants=2, volume_range_ml=(10.0, 80.0))

    def build() -> None:
        ids = scheme.resolve("ventricles")
        bank.build(
            cases, settings, growth=growth_rates(scheme, ids), fluid_ids=scheme.resolve("csf"), spacing_mm=4.0, seed=3
        )

    build()
    stamps = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    build()
    assert stamps == {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    ids = torch.tensor(scheme.resolve("ventricles"))
    for kind, count in (("labels", 5), ("pairs", 3)):
        paths = bank.paths(kind)
        volumes = [float(torch.isin(Bank.read(path).label, ids).sum()) * 0.064 for path in paths]
        assert len(paths) == count * len(cases)
        assert min(volumes) < 20 < 42 < max(volumes)
    for path in bank.paths("pairs"):
        item = Bank.read(path)
        assert item.image is not None
        assert (item.image[:, item.label == 0] == 0).all()


def test_a_bank_whose_time_is_spent_has_each_case_and_is_left_as_it_is(
    cases: list[FittingCase], scheme: LabelScheme, tmp_path: Path
) -> None:
    bank = Bank(tmp_path)
    settings = BankSettings(label_variants=3, pair_variants=2)
    for seconds in (0.0, 1e9):
        bank.build(cases, settings, growth={1: 1.0}, fluid_ids=(), spacing_mm=4.0, seed=3, seconds=seconds)
        for kind in ("labels", "pairs"):
            assert [path.stem[-2:] for path in bank.paths(kind)] == ["00"] * len(cases)


@pytest.mark.usefixtures("fresh_accelerator")
def test_a_fit_on_anothers_masks_changes_the_images_alone(
    fitted: Path, cases: list[FittingCase], settings: GuidedLDMSettings, tmp_path: Path
) -> None:
    begun = GuidedLDM.read(fitted)
    brighter = [
        replace(case, identifier=f"other_{case.identifier}", scales=(IntensityScale(0.0, 3000.0),),
                record=CaseRecord(f"other_{case.identifier}", "2" * 64, "3" * 64))
        for case in cases
    ]  # fmt: skip
    task = FitTask(
        name="again",
        cases=brighter,
        scheme=begun.config.scheme,
        channels=("FLAIR",),
        settings=settings.like(begun.config),
        folder=tmp_path / "again",
        budget_seconds=4000,
        accelerator=Accelerator(cpu=True),
    )
    again = GuidedLDMFit(task, begun=begun).run()
    old, new = (GuidedLDM.load(folder, device="cpu", steps=2) for folder in (fitted, again))
    condition = Condition({"ventricles": 25.0})
    before, after = (one.generate([condition], [3])[0] for one in (old, new))
    np.testing.assert_array_equal(before.label, after.label)
    assert after.image.max() > 10 * before.image.max()
    assert after.channels == ("FLAIR",)
    assert [case.identifier for case in new.training_cases] == ["case_0", "case_1", "other_case_0", "other_case_1"]
    assert not list((again / "work").glob("mask*"))


def test_sizes_that_a_later_stage_cannot_take_are_refused_at_the_start(
    cases: list[FittingCase], scheme: LabelScheme, settings: GuidedLDMSettings, tmp_path: Path
) -> None:
    for crop in ((16, 20, 16), (0, 16, 16), (-16, 16, 16)):
        batch = CroppedDetailBatch(crop=crop)
        wrong = replace(settings, mask_detail_1=replace(settings.mask_detail_1, batch=batch))
        reason = rf"mask_detail_1.batch.crop is {re.escape(str(list(crop)))}.* multiples of 16"
        with pytest.raises(ConfigurationError, match=reason):
            make_fit(cases, scheme, wrong, tmp_path / "tiny")
