"""Each check rejects what it is there for, and only that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError, LabelError
from synthaug.quality import QualityConfig, QualityReport, check_pair
from synthaug.quality.checks import main_component_fraction
from synthaug.volumes import LabeledVolume
from tests.stand_in_generator import StandInGenerator

CONDITION = Condition({"ventricles": 40.0})


@pytest.fixture
def pair() -> LabeledVolume:
    return StandInGenerator().generate([CONDITION], [3])[0]


def with_label(pair: LabeledVolume, label: np.ndarray) -> LabeledVolume:
    image = np.where(label[None] > 0, np.maximum(pair.image, 1), 0).astype(np.float32)
    return replace(pair, label=label, image=image)


def test_a_sound_pair_passes_and_scores_its_volume_error(pair: LabeledVolume) -> None:
    report = check_pair(pair, CONDITION)
    assert report.passed
    assert report.reasons == ()
    assert abs(report.scores["ventricles_error_ml"]) < 0.1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_intensity_that_is_not_finite_is_rejected(pair: LabeledVolume, bad: float) -> None:
    pair.image[0, 16, 16, 16] = bad  # after construction, which checks the same
    assert check_pair(pair, CONDITION).reasons == ("non-finite-intensity",)


def test_a_constant_image_is_rejected(pair: LabeledVolume) -> None:
    pair.image[:] = 0
    assert check_pair(pair, CONDITION).reasons == ("non-finite-intensity",)


def test_one_background_voxel_off_zero_is_rejected_unless_allowed(pair: LabeledVolume) -> None:
    pair.image[0, 0, 0, 0] = 1e-6
    assert check_pair(pair, CONDITION).reasons == ("non-zero-background",)
    assert check_pair(pair, CONDITION, QualityConfig(max_nonzero_background=0.01)).passed


def test_a_missing_structure_is_named(pair: LabeledVolume) -> None:
    label = pair.label.copy()
    label[label == pair.scheme.id_of("thalamus")] = pair.scheme.id_of("basal_ganglia")
    report = check_pair(with_label(pair, label), CONDITION)
    assert report.reasons == ("missing-structure",)
    assert "thalamus" in report.details["missing-structure"]
    assert check_pair(with_label(pair, label), CONDITION, QualityConfig(required=("ventricles",))).passed


def test_a_label_outside_the_scheme_is_listed(pair: LabeledVolume) -> None:
    pair.label[16, 16, 16] = 77
    report = check_pair(pair, CONDITION)
    assert "label-outside-scheme" in report.reasons
    assert "77" in report.details["label-outside-scheme"]


@pytest.mark.parametrize(("asked_ml", "passes"), [(31.9, False), (32.1, True), (53.2, True), (53.5, False)])
def test_the_volume_must_lie_within_the_relative_tolerance(pair: LabeledVolume, asked_ml: float, passes: bool) -> None:
    # 40 mL are 25 % above 32.0 and 25 % below 53.3
    assert (
        check_pair(pair, Condition({"ventricles": asked_ml}), QualityConfig(absolute_tolerance_ml=0)).passed is passes
    )


def test_a_small_volume_may_be_off_by_the_absolute_tolerance() -> None:
    small = StandInGenerator().generate([Condition({"ventricles": 6.0})], [0])[0]
    assert check_pair(small, Condition({"ventricles": 4.1})).passed
    assert not check_pair(small, Condition({"ventricles": 3.9})).passed


def test_a_ventricle_in_two_pieces_is_rejected(pair: LabeledVolume) -> None:
    label = pair.label.copy()
    left = pair.scheme.id_of("lateral_ventricle_left")
    voxels = np.argwhere(label == left)
    middle = int(np.median(voxels[:, 1]))
    label[:, middle - 1 : middle + 1][label[:, middle - 1 : middle + 1] == left] = 1
    report = check_pair(with_label(pair, label), CONDITION)
    assert "ventricle-in-pieces" in report.reasons
    assert "lateral_ventricle_left" in report.details["ventricle-in-pieces"]
    assert "lateral_ventricle_right" not in report.details["ventricle-in-pieces"]


def test_main_component_fraction_counts_diagonal_neighbours_as_connected() -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[4, 4, 4] = True
    assert main_component_fraction(mask) == pytest.approx(2 / 3)
    assert main_component_fraction(np.zeros((3, 3, 3), bool)) == 1.0


def test_a_condition_on_an_unknown_structure_is_the_callers_mistake(pair: LabeledVolume) -> None:
    with pytest.raises(LabelError):
        check_pair(pair, Condition({"ventrikles": 40.0}))


def test_limits_out_of_range_are_reported_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        QualityConfig(volume_tolerance=-1, max_attempts=0, min_component_fraction=1.5)
    for name in ("volume_tolerance", "max_attempts", "min_component_fraction"):
        assert name in str(caught.value)


def test_the_digest_ignores_only_the_number_of_attempts() -> None:
    assert QualityConfig().digest() == QualityConfig(max_attempts=9).digest()
    assert QualityConfig().digest() != QualityConfig(volume_tolerance=0.1).digest()


def test_a_report_survives_json(pair: LabeledVolume) -> None:
    report = check_pair(pair, Condition({"ventricles": 90.0}))
    assert QualityReport.from_dict(report.to_dict()) == report
