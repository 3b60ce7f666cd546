"""Surveys of datasets, and the plans that follow from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug.configuration import config_to_dict, load_config
from synthaug.errors import ConfigurationError, LabelError
from synthaug.fitting.cases import always_present, load_label_case, load_pair_case
from synthaug.fitting.dataset_survey import DatasetSurvey
from synthaug.fitting.fit_plan import TISSUE_CLASSES, FitPlan
from synthaug.fitting.fit_plan import plan_fit as plan_any_fit
from synthaug.fitting.guided_ldm_plan import guided_ldm_settings
from synthaug.fitting.guided_ldm_settings import GuidedLDMSettings
from synthaug.generators.cases import CasePaths
from synthaug.labels import LabelScheme, Structure
from synthaug.volumes import write_image, write_label
from synthaug.volumes.grid import Grid

SCHEME = LabelScheme("Dataset009_Trunk", (Structure("liver", 1), Structure("tumor", 2)))
SHAPE = (48, 40, 16)
SPACING = (1.0, 1.0, 3.0)


def plan_fit(survey: DatasetSurvey, **wishes: Any) -> FitPlan[GuidedLDMSettings]:
    """Plan of a guided LDM's fit."""
    return plan_any_fit(survey, guided_ldm_settings, **wishes)


def write_case(folder: Path, number: int, *, tumor: bool = True, channels: int = 1) -> CasePaths:
    """A body of 50 HU in air, with a liver on its right and a tumour in it, in voxels of 1 x 1 x 3 mm."""
    rng = np.random.default_rng(number)
    x, y, z = np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij")
    body = ((x - 24) / 20) ** 2 + ((y - 20) / 16) ** 2 + ((z - 24) / 40) ** 2 < 1
    label = (((x - 34) ** 2 + (y - 20) ** 2 + (z - 24) ** 2) < 81).astype(np.int16)
    if tumor:
        label[((x - 34) ** 2 + (y - 20) ** 2 + (z - 24) ** 2) < (4 + number % 3) ** 2] = 2
    image = np.full(SHAPE, -1000.0)
    image[body] = 50
    image[body & (y > 24)] = -100
    image[label == 1] = 110
    image[label == 2] = 60
    image += rng.normal(0, 5, SHAPE)
    affine = np.diag([*SPACING, 1.0])
    names = [folder / f"case{number}_{channel:04d}.nii.gz" for channel in range(channels)]
    for factor, name in enumerate(names, start=1):
        write_image(name, (factor * image).astype(np.float32)[None], affine)
    write_label(folder / f"case{number}.nii.gz", label, affine)
    return CasePaths(f"case{number}", tuple(names), folder / f"case{number}.nii.gz")


@pytest.fixture
def survey(tmp_path: Path) -> DatasetSurvey:
    paths = [write_case(tmp_path, number, tumor=number != 1) for number in range(4)]
    return DatasetSurvey.of(paths, SCHEME, ("CT",))


def test_a_survey_tells_what_the_cases_are_like(survey: DatasetSurvey) -> None:
    assert survey.cases[0].spacing_mm == SPACING
    assert survey.cases[0].labelled_mm == pytest.approx((17, 17, 15), abs=3)
    assert survey.unlabelled_share > 0.5
    assert survey.ever_present == ("liver", "tumor")
    assert survey.one_sided


def test_a_dataset_without_any_label_is_refused(tmp_path: Path) -> None:
    paths = write_case(tmp_path, 0)
    write_label(paths.label, np.zeros(SHAPE, np.int16), np.diag([*SPACING, 1.0]))
    with pytest.raises(LabelError, match="none of 1 training cases has a labelled voxel"):
        DatasetSurvey.of([paths], SCHEME, ("CT",))


def test_sparse_labels_get_classes_and_room_for_the_whole_body(survey: DatasetSurvey) -> None:
    plan = plan_fit(survey, budget_seconds=1200)
    settings = plan.settings
    assert settings.unlabelled_classes == TISSUE_CLASSES
    assert not settings.mirror
    assert settings.controls == ("liver", "tumor")
    assert settings.bank.volume_range_ml is None
    assert all(extent % 32 == 0 for extent in settings.shape)
    assert settings.spacing_mm > 3 ** (1 / 3) - 1e-3
    field = np.array(settings.shape) * settings.spacing_mm
    assert (field >= survey.extent_mm(of_body=True)).all()
    assert any("no label" in note for note in plan.notes)


def test_a_shorter_budget_has_coarser_voxels_and_the_datas_spacing_is_the_finest(survey: DatasetSurvey) -> None:
    fine = plan_fit(survey, budget_seconds=1e6).settings
    assert fine.spacing_mm == pytest.approx(3 ** (1 / 3), rel=0.16)
    large = [plan_fit(survey, budget_seconds=budget, spacing_mm=(0.1,) * 3).settings for budget in (60, 2400)]
    assert large[0].spacing_mm > large[1].spacing_mm
    assert plan_fit(survey, budget_seconds=60, gpu_bytes=80_000_000_000, spacing_mm=(0.1,) * 3).settings.spacing_mm < (
        large[1].spacing_mm
    )


def test_what_is_most_of_the_body_is_asked_for_last(survey: DatasetSurvey) -> None:
    assert survey.body_share("liver") < 0.5
    filled = replace(survey, cases=tuple(replace(case, unlabelled_share=0.0) for case in survey.cases))
    assert filled.body_share("liver") > 0.5
    assert plan_fit(filled, budget_seconds=600).settings.controls == ("tumor", "liver")
    assert plan_fit(filled, budget_seconds=600, controls=("liver", "tumor")).settings.controls == ("liver", "tumor")


def test_many_classes_have_smaller_crops(survey: DatasetSurvey) -> None:
    many = LabelScheme("many", (*SCHEME.structures, *(Structure(f"part_{number}", number) for number in range(3, 61))))
    cases = tuple(
        replace(case, volumes_ml={**dict.fromkeys(many.names, 1.0), **case.volumes_ml}) for case in survey.cases
    )
    few, crowded = (
        plan_fit(one, budget_seconds=1e5, spacing_mm=(0.2,) * 3).settings
        for one in (survey, replace(survey, scheme=many, cases=cases))
    )
    assert few.label_autoencoder.batch.crop == (80, 80, 80)
    for crop in (crowded.label_autoencoder.batch.crop, crowded.mask_detail_1.batch.crop):
        assert crop == (32, 32, 32)
    assert crowded.image_autoencoder.batch.crop == few.image_autoencoder.batch.crop


def test_cases_that_no_fit_can_use_are_refused_by_the_survey(tmp_path: Path) -> None:
    flat = write_case(tmp_path, 0)
    write_image(flat.images[0], np.full((1, *SHAPE), 40.0, np.float32), np.diag([*SPACING, 1.0]))
    with pytest.raises(ConfigurationError, match=r"case0_0000.*needs contrast"):
        DatasetSurvey.of([flat], SCHEME, ("T1",))
    ignoring = replace(SCHEME, structures=SCHEME.structures[:1], ignore_id=2)
    mostly = write_case(tmp_path, 2)
    with pytest.raises(LabelError, match="labelled voxels have the ignore label 2"):
        DatasetSurvey.of([mostly], ignoring, ("CT",))


def test_a_case_without_labels_needs_classes_for_its_tissue(tmp_path: Path) -> None:
    paths = [write_case(tmp_path, number) for number in range(2)]
    write_label(paths[1].label, np.zeros(SHAPE, np.int16), np.diag([*SPACING, 1.0]))
    survey = DatasetSurvey.of(paths, SCHEME, ("CT",))
    grid = Grid((32, 32, 32), (3.0,) * 3)
    assert survey.form(grid, 2).split.of_unlabelled
    with pytest.raises(LabelError, match="cases without a labelled voxel: 1, such as case1"):
        survey.form(grid, 0)


def test_controls_and_their_extension_are_asked_for_by_name(survey: DatasetSurvey) -> None:
    settings = plan_fit(survey, budget_seconds=600, controls=("liver",), extend_ml={"tumor": (0.1, 5.0)}).settings
    assert settings.controls == ("tumor", "liver")  # the first is the one that is warped
    assert settings.bank.volume_range_ml == (0.1, 5.0)


def test_wishes_that_cannot_be_are_refused(survey: DatasetSurvey) -> None:
    with pytest.raises(LabelError, match="did you mean"):
        plan_fit(survey, budget_seconds=600, controls=("livre",))
    with pytest.raises(ConfigurationError, match="one control can be taken beyond"):
        plan_fit(survey, budget_seconds=600, extend_ml={"liver": (1, 2), "tumor": (1, 2)})


def test_a_structure_that_no_case_has_is_no_control(tmp_path: Path) -> None:
    survey = DatasetSurvey.of([write_case(tmp_path, 0, tumor=False)], SCHEME, ("CT",))
    assert plan_fit(survey, budget_seconds=600).settings.controls == ("liver",)
    with pytest.raises(ConfigurationError, match="--control tumor: no training case has a voxel"):
        plan_fit(survey, budget_seconds=600, controls=("tumor",))


def test_the_settings_of_a_plan_can_be_written_and_read_back(survey: DatasetSurvey) -> None:
    settings = plan_fit(survey, budget_seconds=600, extend_ml={"tumor": (0.1, 5.0)}).settings
    assert load_config(GuidedLDMSettings, config_to_dict(settings), where="plan") == settings


def test_cases_in_the_surveys_form_keep_hounsfield_units(survey: DatasetSurvey, tmp_path: Path) -> None:
    settings = plan_fit(survey, budget_seconds=600).settings
    form = survey.form(Grid(settings.shape, (settings.spacing_mm,) * 3), settings.unlabelled_classes)
    case = load_pair_case(write_case(tmp_path, 7), form)
    assert case.image is not None
    (scale,) = case.scales
    assert scale.absolute
    assert scale.background == pytest.approx(-1000, abs=10)
    label = case.label.numpy()
    restored = scale.restore(case.image[0].numpy(), label > 0)
    assert restored[label == 1].mean() == pytest.approx(110, abs=15)
    unlabelled = restored[label > 2]
    assert np.percentile(unlabelled, 10) == pytest.approx(-100, abs=20)
    assert np.percentile(unlabelled, 90) == pytest.approx(50, abs=20)
    assert set(np.unique(label)) >= {0, 1, 2, 3, 4}


def write_head(folder: Path, number: int) -> CasePaths:
    """A head in three tissues under one label, with a cavity in it."""
    rng = np.random.default_rng(number)
    x, y, z = np.indices((40, 40, 40)) - 20
    radius = np.sqrt(x**2 + y**2 + z**2)
    label = np.where(radius < 18, 1, 0).astype(np.int16)
    label[radius < 5] = 2
    image = np.select([radius < 5, radius < 10, radius < 15, radius < 18], [20.0, 100.0, 60.0, 25.0], 0.0)
    image += np.where(label > 0, rng.normal(0, 3, image.shape), 0)
    write_image(folder / f"head{number}_0000.nii.gz", image[None].astype(np.float32), np.eye(4))
    write_label(folder / f"head{number}.nii.gz", label, np.eye(4))
    return CasePaths(f"head{number}", (folder / f"head{number}_0000.nii.gz",), folder / f"head{number}.nii.gz")


def test_a_large_structure_of_several_tissues_is_split_by_intensity(tmp_path: Path) -> None:
    scheme = LabelScheme("head", (Structure("brain", 1), Structure("ventricles", 2)))
    paths = [write_head(tmp_path, number) for number in range(2)]
    survey = DatasetSurvey.of(paths, scheme, ("T1",))
    plan = plan_fit(survey, budget_seconds=600)
    assert plan.settings.split == {"brain": TISSUE_CLASSES}
    assert any("of more than one tissue" in note and "brain" in note for note in plan.notes)
    form = survey.form(Grid((48, 48, 48), (1.0,) * 3), 0, {"brain": 3})
    label = load_pair_case(paths[0], form).label
    middle = label[24, 24, 24:].tolist()
    assert list(dict.fromkeys(middle)) == [4, 3, 2, 1, 0]
    assert always_present([load_pair_case(one, form) for one in paths], form.scheme) == ("ventricles", "brain")
    with pytest.raises(LabelError, match="brain tissue of this dataset is split by intensity"):
        load_label_case(paths[0].label, form)


@pytest.mark.parametrize(("split", "told"), [({"brian": 3}, "did you mean"), ({"brain": 1}, "allowed: 2 to 16")])
def test_a_split_that_cannot_be_is_refused(split: dict[str, int], told: str) -> None:
    scheme = LabelScheme("head", (Structure("brain", 1), Structure("ventricles", 2)))
    with pytest.raises(ConfigurationError, match=told):
        GuidedLDMSettings(split=split).check_split(scheme, "settings.json")


def test_a_dataset_that_has_names_of_classes_is_told_so() -> None:
    scheme = LabelScheme("head", (Structure("brain", 1), Structure("brain_tissue_1", 2)))
    with pytest.raises(ConfigurationError, match=r"brain_tissue_1.*rename them"):
        GuidedLDMSettings(split={"brain": 3}).check_split(scheme, "settings.json")


def test_channels_are_scaled_one_by_one(tmp_path: Path) -> None:
    paths = [write_case(tmp_path, number, channels=2) for number in range(2)]
    survey = DatasetSurvey.of(paths, SCHEME, ("CT", "T1"))
    form = survey.form(Grid((32, 32, 32), (2.5,) * 3), 2)
    case = load_pair_case(paths[0], form)
    assert [scale.absolute for scale in case.scales] == [True, False]
    assert case.scales[1].one == pytest.approx(2 * case.scales[0].one, rel=0.1)
