"""The audit counts copies, mirrored ones too, and lets new heads pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.evaluation.memorisation import CaseFeatures, MemorisationAudit, image_distance, mask_distance
from synthaug.evaluation.seen_cases import seen_and_unseen
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord, LabeledVolume, fingerprint_array
from synthaug.volumes.grid import Grid
from tests.raw_dataset import write_raw_dataset
from tests.stand_in_generator import StandInGenerator

SCHEME = LabelScheme.load("ventricles-t1")
GRID = Grid((32, 32, 32), (4.0, 4.0, 4.0))


def head(volume_ml: float, seed: int) -> LabeledVolume:
    (pair,) = StandInGenerator().generate([Condition({"ventricles": volume_ml})], [seed])
    return pair


def features(name: str, pair: LabeledVolume) -> CaseFeatures:
    return CaseFeatures.of(name, pair.label, pair.image, pair.affine, SCHEME, GRID)


@pytest.fixture(scope="module")
def training() -> list[CaseFeatures]:
    return [features(f"seen_{seed}", head(volume, seed)) for seed, volume in enumerate((20.0, 50.0))]


@pytest.fixture
def audit(training: list[CaseFeatures]) -> MemorisationAudit:
    return MemorisationAudit(SCHEME, training, [features(f"new_{seed}", head(30.0, seed)) for seed in (7, 8, 9)])


def test_a_case_is_at_no_distance_from_itself_and_at_some_from_another(training: list[CaseFeatures]) -> None:
    first, second = training
    for distance in (mask_distance, image_distance):
        assert distance(first, first) == pytest.approx(0, abs=1e-5)
        assert distance(first, second) > 0.001
        assert distance(first, second) == pytest.approx(distance(second, first))


def test_a_mirror_image_swaps_sides(training: list[CaseFeatures]) -> None:
    twice = training[0].mirrored(SCHEME).mirrored(SCHEME)
    np.testing.assert_array_equal(twice.mask, training[0].mask)
    left = SCHEME.names.index("lateral_ventricle_left")
    right = SCHEME.names.index("lateral_ventricle_right")
    np.testing.assert_array_equal(training[0].mirrored(SCHEME).mask[right], training[0].mask[left][::-1])


def test_copies_are_counted_and_named_and_others_pass(audit: MemorisationAudit, training: list[CaseFeatures]) -> None:
    copy, turned = head(50.0, 1), training[0].mirrored(SCHEME)
    brighter = LabeledVolume(1.3 * copy.image, copy.label, copy.affine, SCHEME, ("T1",), {})
    for name, one in (
        ("copy", features("copy", brighter)),
        ("turned", turned),
        ("new", features("new", head(90.0, 3))),
    ):
        audit.add(CaseFeatures(name, one.mask, one.image))
    report = audit.to_dict()
    for kind in ("masks", "images"):
        found = report[kind]
        assert (found["training_cases"], found["held_out_cases"], found["samples"]) == (2, 3, 3)
        assert found["copies"] == 2
        assert {one["name"] for one in found["nearest"][:2]} == {"copy", "turned"}
        assert {one["training_case"] for one in found["nearest"][:2]} == {"seen_1", "seen_0 (mirrored)"}
        assert found["threshold"] <= found["held_out_distances"]["median"]


def test_training_cases_are_a_second_measure_of_how_near_two_heads_may_be(training: list[CaseFeatures]) -> None:
    other = features("seen_2", head(25.0, 2))
    audit = MemorisationAudit(SCHEME, [*training, other], [features("new", head(30.0, 7))])
    turned = training[0].mirrored(SCHEME)
    audit.add(CaseFeatures("copy", turned.mask, turned.image))
    audit.add(features("new", head(90.0, 3)))
    for kind, distance in (("masks", mask_distance), ("images", image_distance)):
        found = audit.to_dict()[kind]
        known = [*training, other]
        pairs = [
            distance(one, form)
            for one in known
            for two in known
            if one is not two
            for form in (two, two.mirrored(SCHEME))
        ]
        assert found["training_distances"]["least"] == pytest.approx(min(pairs))
        assert found["nearer_than_training_cases"] == 1 + (found["nearest"][1]["distance"] < min(pairs))
        assert found["nearest"][0]["name"] == "copy"


def test_one_training_case_has_no_other(training: list[CaseFeatures]) -> None:
    audit = MemorisationAudit(SCHEME, training[:1], training[1:])
    audit.add(training[0])
    assert audit.to_dict()["masks"]["training_distances"] is None
    assert audit.to_dict()["masks"]["nearer_than_training_cases"] is None


def test_without_images_masks_alone_are_compared(training: list[CaseFeatures]) -> None:
    bare = [CaseFeatures(one.name, one.mask, None) for one in training]
    audit = MemorisationAudit(SCHEME, bare, bare)
    audit.add(bare[0])
    assert set(audit.to_dict()) == {"masks"}


def test_cases_of_both_kinds_are_needed(training: list[CaseFeatures]) -> None:
    with pytest.raises(ConfigurationError, match="fitted on is among"):
        MemorisationAudit(SCHEME, [], training)
    with pytest.raises(ConfigurationError, match="held out from it is among"):
        MemorisationAudit(SCHEME, training, [])


def test_seen_cases_are_known_by_name_or_content_and_bring_their_images(tmp_path: Path) -> None:
    raw = tmp_path / "Dataset001_Heads"
    pairs = write_raw_dataset(raw, ("by_name", "by_content", "new"))
    records = [
        CaseRecord("by_name", None, None),
        CaseRecord("renamed", None, fingerprint_array(pairs["by_content"].label)),
    ]
    seen, unseen = seen_and_unseen([raw], SCHEME, None, records, GRID)
    assert [one.name for one in seen] == ["by_content", "by_name"]
    assert [one.name for one in unseen] == ["new"]
    assert all(one.image is not None for one in (*seen, *unseen))
    assert mask_distance(unseen[0], features("new", pairs["new"])) == pytest.approx(0, abs=1e-6)
