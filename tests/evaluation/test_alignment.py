"""Alignment: overlaps, volumes and ratios computed by hand, and what label maps and segmentations are compared in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from synthaug.errors import ConfigurationError
from synthaug.evaluation.alignment import AlignedCase, AlignmentReport, Overlaps
from synthaug.evaluation.segmentation_model import CommonLabels
from synthaug.labels import LabelScheme

PAIRS = LabelScheme.load("ventricles-t1")
SIDES = LabelScheme.from_nnunet(
    {"labels": {"background": 0, "lateral_ventricle_left": 1, "lateral_ventricle_right": 2}}, name="sides"
)
MODEL = {"title": "a model", "weights": {"file.pth": "0" * 64}}


def test_overlaps_and_volumes_are_the_ones_computed_by_hand() -> None:
    label = np.zeros((10, 10, 10), np.int16)
    label[:4] = 1
    found = np.zeros_like(label)
    found[2:4], found[4] = 1, 1  # 200 of 400 voxels are found, and 100 others
    one = Overlaps.of("case", label, found, SIDES, 0.01).aligned((1, 2))
    assert one.dice == {"lateral_ventricle_left": pytest.approx(2 * 200 / 700), "lateral_ventricle_right": None}
    assert one.mean_dice == pytest.approx(4 / 7)
    assert (one.volume_ml, one.found_ml) == (pytest.approx(4), pytest.approx(3))
    assert one.error_percent == pytest.approx(-25)


def test_what_only_the_network_sees_counts_as_missed() -> None:
    label = np.zeros((4, 4, 4), np.int16)
    label[0], found = 1, np.full((4, 4, 4), 2, np.int16)
    one = Overlaps.of("case", label, found, SIDES, 1.0).aligned(None)
    assert one.dice == {"lateral_ventricle_left": 0.0, "lateral_ventricle_right": 0.0}
    assert (one.volume_ml, one.error_percent) == (None, None)


def case(name: str, volume_ml: float, dice: float, found_ml: float | None = None) -> AlignedCase:
    overlaps = {"lateral_ventricle_left": dice, "lateral_ventricle_right": None}
    return AlignedCase(name, overlaps, volume_ml, volume_ml if found_ml is None else found_ml)


def report(samples: list[AlignedCase], real: list[AlignedCase], **changes: Any) -> AlignmentReport:
    return AlignmentReport(**{"model": MODEL, "scheme": SIDES, "structure": "ventricles", "samples": samples,
                              "real": real, **changes})  # fmt: skip


def test_thirds_by_volume_are_compared_with_real_cases_as_large() -> None:
    samples = [case(str(volume), volume, 0.4 + volume / 100, 1.1 * volume) for volume in (10, 20, 30, 40, 50, 60)]
    real = [case("small", 5, 0.8), case("large", 90, 0.9, 81)]
    facts = report(samples, real).to_dict()
    assert facts["mean_dice"]["samples"] == pytest.approx(0.75)
    assert facts["mean_dice"]["ratio"] == pytest.approx(0.75 / 0.85)
    assert facts["volume_error"]["samples"]["bias_percent"] == pytest.approx(10)
    assert facts["volume_error"]["samples"]["mae_ml"] == pytest.approx(3.5)
    assert facts["volume_error"]["real"]["bias_percent"] == pytest.approx(-5)
    small, middle, large = facts["terciles"]
    assert [one["samples"] for one in (small, middle, large)] == [2, 2, 2]
    assert [one["real_cases"] for one in (small, middle, large)] == [1, 0, 1]
    assert small["share"] == pytest.approx(0.55 / 0.8)
    assert middle["share"] == pytest.approx(0.75 / 0.85)  # no real case of that size: all of them
    assert large["share"] == pytest.approx(0.95 / 0.9)
    assert (small["low_ml"], large["high_ml"]) == (0.0, None)
    assert [one["name"] for one in facts["pairs"]] == ["10", "20", "30", "40", "50", "60"]


def test_the_ratio_has_an_interval_from_eight_cases_of_each_on() -> None:
    rng = np.random.default_rng(0)
    samples, real = ([case(str(index), 20 + index, dice) for index, dice in enumerate(rng.normal(mean, 0.02, 12))]
                     for mean in (0.72, 0.8))  # fmt: skip
    found = report(samples, real).to_dict()["mean_dice"]
    interval = found["intervals_95"]["ratio"]
    assert interval["count"] == 12
    assert 0.87 < interval["low"] < found["ratio"] < interval["high"] < 0.93
    assert report(samples, real[:7]).to_dict()["mean_dice"]["intervals_95"]["ratio"]["low"] is None
    assert report(samples, []).to_dict()["mean_dice"]["ratio"] is None


def test_without_a_controlled_structure_there_are_no_thirds() -> None:
    alone = AlignedCase("one", {"lateral_ventricle_left": 0.5, "lateral_ventricle_right": None}, None, None)
    facts = report([alone], [], structure=None).to_dict()
    assert facts["terciles"] == []
    assert facts["volume_error"]["samples"]["mae_ml"] is None


def test_labels_of_the_same_structures_are_compared_as_the_pairs_have_them() -> None:
    renumbered = LabelScheme.from_nnunet(
        {"labels": {"background": 0, **{name: 20 - PAIRS.id_of(name) for name in PAIRS.names}}}, name="other"
    )
    common = CommonLabels.of(PAIRS, renumbered, where="model")
    assert common.scheme == PAIRS
    ids = np.array(PAIRS.ids, np.int16)
    np.testing.assert_array_equal(common.of_model(20 - ids), ids)
    np.testing.assert_array_equal(common.of_pair(ids, "pair"), ids)
    assert common.ids_of("ventricles") == PAIRS.resolve("ventricles")
    assert common.is_whole("ventricles")


def test_a_model_with_fewer_labels_is_compared_in_its_own() -> None:
    tissue = LabelScheme.from_nnunet({"labels": {"background": 0, "ventricles": 1}}, name="ventricles alone")
    common = CommonLabels.of(PAIRS, tissue, where="model")
    assert common.scheme == tissue
    label = np.array([0, *PAIRS.ids], np.int16)
    expected = np.isin(label, PAIRS.resolve("ventricles")).astype(np.int16)
    np.testing.assert_array_equal(common.of_pair(label, "pair"), expected)
    assert common.ids_of("ventricles") == (1,)
    assert common.is_whole("ventricles")
    assert common.ids_of("third_ventricle") == ()  # stands with the others
    assert common.ids_of("thalamus") == ()  # stands with the background
    assert not common.is_whole("thalamus")


def test_labels_without_a_clear_mapping_are_refused_until_they_are_settled_by_hand() -> None:
    names = ("brain", "lateral_ventricle_left", "lateral_ventricle_right")
    brain = LabelScheme.from_nnunet({"labels": {"background": 0, **{one: 1 + names.index(one) for one in names}}})
    with pytest.raises(ConfigurationError, match="--alignment brain: its labels cannot be mapped") as caught:
        CommonLabels.of(PAIRS, brain, where="brain")
    assert "'third_ventricle' could become brain or background" in str(caught.value)
    assert "--alignment-mapping FILE" in str(caught.value)
    assert "\n" not in str(caught.value)
    decided = {"third_ventricle": "background", "fourth_ventricle": "brain"}
    common = CommonLabels.of(PAIRS, brain, decided, where="brain")
    assert common.scheme == brain
    assert common.ids_of("lateral_ventricles") == (2, 3)
    assert common.is_whole("lateral_ventricles")
    assert common.ids_of("ventricles") == (2, 3)  # the others stand with the brain and the background
    assert not common.is_whole("ventricles")
    with pytest.raises(ConfigurationError, match=r"no structure 'brian' \(did you mean 'brain'"):
        CommonLabels.of(PAIRS, brain, {**decided, "third_ventricle": "brian"}, where="brain")


def test_labels_of_other_structures_are_refused() -> None:
    tumour = LabelScheme.from_nnunet({"labels": {"background": 0, "tumour": 1}}, name="tumours")
    with pytest.raises(ConfigurationError, match="'tumour' of 'tumours' gets no source structure"):
        CommonLabels.of(PAIRS, tumour, where="tumours")
