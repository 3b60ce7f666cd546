"""Counterfactuals: a real pair with its ventricles at the volume asked for, and everything else its own."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from synthaug.conditions import Condition
from synthaug.errors import BoundsError, ConfigurationError
from synthaug.generators.cases import CasePaths
from synthaug.generators.counterfactual import CounterfactualGenerator
from synthaug.generators.counterfactual_options import CounterfactualOptions
from synthaug.generators.protocol import PairGenerator
from synthaug.labels import LabelScheme, Structure
from synthaug.quality import QualityConfig, check_pair
from synthaug.quality.gate import limits_for
from synthaug.volumes import LabeledVolume, fingerprint_array, read_image, read_label, write_label
from tests.generators.real_cases import SCHEME, SPACING_MM, write_case
from tests.generators.tiny_guided_ldm import write_tiny_generator


def load(cases: list[CasePaths], **options: Any) -> CounterfactualGenerator:
    return CounterfactualGenerator.from_options(cases, SCHEME, ("T1",), options)


def ventricles(volume_ml: float) -> Condition:
    return Condition({"ventricles": volume_ml})


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[CasePaths]:
    folder = tmp_path_factory.mktemp("cases")
    return [write_case(folder, "small", 3.0), write_case(folder, "large_one", 7.0)]


@pytest.fixture(scope="module")
def generator(cases: list[CasePaths]) -> CounterfactualGenerator:
    return load(cases)


@pytest.fixture(scope="module")
def grown(cases: list[CasePaths]) -> LabeledVolume:
    (pair,) = load(cases[:1]).generate([ventricles(6.0)], [3])
    return pair


def test_the_label_map_holds_the_volume_and_the_pair_passes_quality_control(
    generator: CounterfactualGenerator, grown: LabeledVolume
) -> None:
    assert isinstance(generator, PairGenerator)
    assert grown.volumes_ml()["ventricles"] == pytest.approx(6.0, abs=0.5)
    report = check_pair(grown, ventricles(6.0), limits_for(generator, QualityConfig()))
    assert report.passed, report.reasons


def test_grid_affine_background_and_surface_are_the_case_s_own(cases: list[CasePaths], grown: LabeledVolume) -> None:
    image, affine = read_image(cases[0].images[0])
    label, _ = read_label(cases[0].label)
    np.testing.assert_allclose(grown.affine, affine, atol=1e-4)
    assert grown.image.shape == image.shape
    np.testing.assert_array_equal(grown.image == 0, image == 0)
    np.testing.assert_array_equal(grown.label == 0, label == 0)


def test_the_image_moves_with_the_label_map(cases: list[CasePaths], grown: LabeledVolume) -> None:
    image, _ = read_image(cases[0].images[0])
    label, _ = read_label(cases[0].label)
    ids = SCHEME.resolve("lateral_ventricles")
    inside, before = np.isin(grown.label, ids), np.isin(label, ids)
    assert grown.image[0][inside].mean() == pytest.approx(image[0][before].mean(), rel=0.5)
    new = inside & ~before
    assert grown.image[0][new].mean() < 0.6 * image[0][new].mean()


def test_a_case_at_its_own_volume_stays_as_it_is(cases: list[CasePaths]) -> None:
    own = load(cases[:1])
    label, _ = read_label(cases[0].label)
    image, _ = read_image(cases[0].images[0])
    volume_ml = float(np.isin(label, SCHEME.resolve("ventricles")).sum()) * SPACING_MM**3 / 1000
    (pair,) = own.generate([ventricles(volume_ml)], [0])
    np.testing.assert_array_equal(pair.label, label)
    np.testing.assert_allclose(pair.image, image, rtol=0.02, atol=0.5)


def test_same_seed_same_pair_alone_or_in_a_batch(cases: list[CasePaths], generator: CounterfactualGenerator) -> None:
    batch = generator.generate([ventricles(5.0), ventricles(5.5)], [1, 2])
    (single,) = load(cases).generate([ventricles(5.5)], [2])
    np.testing.assert_array_equal(batch[1].image, single.image)
    np.testing.assert_array_equal(batch[1].label, single.label)
    assert batch[1].provenance["case"] == single.provenance["case"]


def test_only_cases_within_the_factor_are_drawn_and_all_of_those(cases: list[CasePaths]) -> None:
    near = load(cases, max_growth=1.5, max_shrinkage=1.5)
    assert {near.draw(ventricles(9.0), seed).order for seed in range(20)} == {(1,)}
    assert {near.draw(ventricles(2.5), seed).order for seed in range(20)} == {(0,)}
    far = load(cases, max_growth=4.0, max_shrinkage=4.0)
    assert {far.draw(ventricles(5.0), seed).order[0] for seed in range(20)} == {0, 1}


def test_a_volume_between_what_the_cases_reach_is_refused_with_the_factors(cases: list[CasePaths]) -> None:
    near = load(cases, max_growth=1.1, max_shrinkage=1.1)
    with pytest.raises(BoundsError, match=r"grow by more than 1\.1"):
        near.generate([ventricles(5.0)], [0])
    with pytest.raises(BoundsError, match="allowed"):
        near.generate([ventricles(100.0)], [0])


def test_anisotropic_voxels_reach_the_volume_and_keep_their_grid(tmp_path: Path) -> None:
    thick = write_case(tmp_path, "thick", 4.0, every=(1, 1, 2))
    (pair,) = load([thick]).generate([ventricles(8.0)], [0])
    assert pair.label.shape == (64, 64, 32)
    assert pair.spacing_mm == pytest.approx((1.4, 1.4, 2.8))
    assert pair.volumes_ml()["ventricles"] == pytest.approx(8.0, abs=0.5)


def test_diversity_is_drawn_from_the_seed_and_keeps_the_volume(cases: list[CasePaths]) -> None:
    varied = load(cases[:1], random_warp=True, flip=True)
    assert {varied.draw(ventricles(5.0), seed).flip for seed in range(20)} == {False, True}
    first, second = varied.generate([ventricles(5.0)] * 2, [1, 2])
    assert not np.array_equal(first.label, second.label)
    for pair in (first, second):
        assert pair.volumes_ml()["ventricles"] == pytest.approx(5.0, abs=0.5)
    (again,) = varied.generate([ventricles(5.0)], [1])
    np.testing.assert_array_equal(first.image, again.image)


def test_a_flipped_pair_has_its_sides_exchanged(cases: list[CasePaths]) -> None:
    flipping = load(cases[:1], flip=True)
    seed = next(seed for seed in range(20) if flipping.draw(ventricles(5.0), seed).flip)
    (pair,) = flipping.generate([ventricles(5.0)], [seed])
    x_of = {
        name: np.nonzero(pair.label == SCHEME.id_of(name))[0].mean()
        for name in ("lateral_ventricle_left", "lateral_ventricle_right")
    }
    assert x_of["lateral_ventricle_left"] < x_of["lateral_ventricle_right"]
    assert pair.provenance["flipped"] is True


def test_the_leakage_guard_learns_of_every_case(cases: list[CasePaths], generator: CounterfactualGenerator) -> None:
    records = {record.identifier: record for record in generator.training_cases}
    assert set(records) == {"small", "large_one"}
    for case in cases:
        assert records[case.identifier].image_sha256 == fingerprint_array(read_image(case.images[0])[0])
        assert records[case.identifier].label_sha256 == fingerprint_array(read_label(case.label)[0])


def test_the_fingerprint_changes_with_cases_and_options(
    cases: list[CasePaths], generator: CounterfactualGenerator
) -> None:
    assert load(cases).fingerprint == generator.fingerprint
    assert load(cases[:1]).fingerprint != generator.fingerprint
    assert load(cases, flip=True).fingerprint != generator.fingerprint


def test_without_a_group_of_ventricles_any_small_structure_is_a_control(tmp_path: Path) -> None:
    case = write_case(tmp_path, "plain", 4.0)
    label, affine = read_label(case.label)
    write_label(case.label, np.isin(label, SCHEME.resolve("lateral_ventricles")).astype(np.int16), affine)
    scheme = LabelScheme("mine", (Structure("fluid_spaces", 1),), {})
    plain = CounterfactualGenerator([case], scheme, ("T1",))
    assert list(plain.bounds.limits_ml) == ["fluid_spaces"]
    (pair,) = plain.generate([Condition({"fluid_spaces": 8.0})], [0])
    assert pair.volumes_ml()["fluid_spaces"] == pytest.approx(8.0, abs=0.5)


def test_quality_control_asks_for_no_structure_that_a_subject_lacks(tmp_path: Path) -> None:
    case = write_case(tmp_path, "without", 4.0)
    label, affine = read_label(case.label)
    write_label(case.label, np.where(label == SCHEME.id_of("thalamus"), 1, label).astype(np.int16), affine)
    without = load([case])
    (pair,) = without.generate([ventricles(6.0)], [0])
    assert not check_pair(pair, ventricles(6.0), QualityConfig()).passed
    assert check_pair(pair, ventricles(6.0), limits_for(without, QualityConfig())).passed


def test_one_structure_at_a_time(generator: CounterfactualGenerator) -> None:
    with pytest.raises(ConfigurationError, match="exactly one"):
        generator.generate([Condition({"ventricles": 5.0, "third_ventricle": 1.0})], [0])
    with pytest.raises(BoundsError, match="above 0"):
        generator.generate([Condition({"ventricles": 0.0}, extrapolate=True)], [0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.5}, "strength is 1.5; it must be a number from 0 to 1"),
        ({"strength": 0.5, "painter": ""}, "painter is ''"),
        ({"strength": 0.5, "painter": "nobody"}, "no generator 'nobody'"),
        ({"flips": True}, r"unknown option 'flips' \(did you mean 'flip'\?\)"),
        ({"steps": 20}, "unknown option 'steps'"),
        ({"flip": "yes"}, "flip is 'yes'; it must be true or false"),
        ({"max_growth": 0.5}, "max_growth is 0.5; it must be a number from 1 to 100"),
    ],
)
def test_wrong_options_are_named_with_what_is_allowed(
    cases: list[CasePaths], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(cases, **options)


def test_a_generator_can_be_sent_to_another_process(generator: CounterfactualGenerator) -> None:
    sent = pickle.loads(pickle.dumps(generator))
    assert sent.fingerprint == generator.fingerprint
    assert len(pickle.dumps(generator)) < 100_000


def test_a_strength_goes_with_a_renewal(cases: list[CasePaths]) -> None:
    with pytest.raises(ConfigurationError, match="goes with a renewal"):
        CounterfactualGenerator(cases, SCHEME, ("T1",), CounterfactualOptions(strength=0.5))


def test_a_strength_makes_the_structure_anew_and_leaves_the_rest_as_it_was(
    cases: list[CasePaths], grown: LabeledVolume, tmp_path: Path
) -> None:
    painter = write_tiny_generator(tmp_path / "painter")
    renewing = load(cases[:1], strength=0.6, painter=str(painter))
    (pair,) = renewing.generate([ventricles(6.0)], [3])
    np.testing.assert_array_equal(pair.label, grown.label)
    near = ndimage.distance_transform_edt(~np.isin(pair.label, SCHEME.resolve("ventricles")), sampling=SPACING_MM) <= 4
    changed = pair.image[0] != grown.image[0]
    assert changed[near].mean() > 0.5
    assert not changed[~near].any()
    assert {case.identifier for case in renewing.training_cases} == {cases[0].identifier, "case_a", "case_b"}
    assert renewing.fingerprint != load(cases[:1]).fingerprint
    (again,) = renewing.generate([ventricles(6.0)], [3])
    np.testing.assert_array_equal(again.image, pair.image)


def test_a_filled_ventricle_is_darker_within_and_everything_else_is_as_it_was(
    cases: list[CasePaths], grown: LabeledVolume
) -> None:
    (filled,) = load(cases[:1], fill=True).generate([ventricles(6.0)], [3])
    inside = np.isin(filled.label, SCHEME.resolve("ventricles"))
    np.testing.assert_array_equal(filled.label, grown.label)
    np.testing.assert_array_equal(filled.image[0][~inside], grown.image[0][~inside])
    assert filled.image[0][inside].mean() < grown.image[0][inside].mean()
    assert filled.image[0][inside].min() > 0
    assert load(cases[:1], fill=True).fingerprint != load(cases[:1]).fingerprint
