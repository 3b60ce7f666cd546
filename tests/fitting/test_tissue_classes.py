"""Tissue that labels do not tell apart: where the body is, and its classes by intensity."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.errors import ConfigurationError
from synthaug.fitting.body import background_of, body_of
from synthaug.fitting.tissue_classes import TissueClasses, TissueSplit, sample_tissue
from synthaug.generators.intensity_scale import without_padding
from synthaug.labels import UNLABELLED, LabelScheme, Structure, is_tissue_class, propose_mapping, split_structures

SIZE = 40


def ball(radius: float, centre: tuple[float, float, float] = (20, 20, 20)) -> np.ndarray:
    place = np.indices((SIZE,) * 3) - np.array(centre).reshape(3, 1, 1, 1)
    return np.sqrt((place**2).sum(axis=0)) < radius


@pytest.fixture
def trunk() -> np.ndarray:
    """A CT ``(1, X, Y, Z)``: a body with lungs and bone in air, noise everywhere, and a table beneath it."""
    rng = np.random.default_rng(0)
    image = np.full((SIZE,) * 3, -1000.0)
    image[ball(15)] = 40
    image[ball(4, (13, 20, 20))] = -850
    image[ball(3, (20, 30, 20))] = 700
    image[:, :2, :] = 100
    return (image + rng.normal(0, 15, image.shape))[None].astype(np.float32)


def test_the_background_is_what_is_around_the_body(trunk: np.ndarray) -> None:
    assert background_of(trunk)[0] == pytest.approx(-1000, abs=20)
    assert background_of(np.where(ball(15), 80, 0)[None]) == (0.0,)


def test_the_body_has_its_lungs_and_not_the_table(trunk: np.ndarray) -> None:
    body = body_of(trunk, background_of(trunk), np.zeros((SIZE,) * 3, bool))
    truth = ball(15)
    assert 2 * (body & truth).sum() / (body.sum() + truth.sum()) > 0.95
    assert body[13, 20, 20]
    assert not body[:, :2].any()


def test_a_stripped_head_is_exactly_what_is_not_0_with_its_holes() -> None:
    head = ball(15) & ~ball(3)
    body = body_of(np.where(head, 0.01, 0.0)[None].astype(np.float32), (0.0,), np.zeros((SIZE,) * 3, bool))
    assert np.array_equal(body, ball(15))


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_whole_numbers_of_noise_are_no_body(sigma: float) -> None:
    rng = np.random.default_rng(0)
    noise = np.hypot(*rng.normal(0, sigma, (2, SIZE, SIZE, SIZE)))
    image = np.rint(np.where(ball(15), 150, 0) + noise)[None].astype(np.float32)
    body, truth = body_of(image, background_of(image), np.zeros((SIZE,) * 3, bool)), ball(15)
    assert 2 * (body & truth).sum() / (body.sum() + truth.sum()) > 0.95


def test_an_image_that_shows_nothing_but_tissue_is_all_body() -> None:
    image = np.random.default_rng(0).normal(100, 5, (1, SIZE, SIZE, SIZE)).astype(np.float32)
    assert body_of(image, background_of(image), ball(6)).all()


def test_padding_below_air_is_air() -> None:
    image = np.full((1, SIZE, SIZE, SIZE), -1000.0, np.float32)
    image[0][ball(12)] = 40
    image[0][~ball(19)] = -3024
    clean = without_padding(image, ("CT",))
    assert background_of(clean) == (-1000.0,)
    assert np.array_equal(body_of(clean, background_of(clean), np.zeros((SIZE,) * 3, bool)), ball(12))
    assert np.array_equal(without_padding(image, ("T1",)), image)


def test_both_legs_are_body() -> None:
    legs = ball(7, (10, 20, 20)) | ball(8, (30, 20, 20))
    image = np.where(legs, 100.0, 0.0)[None].astype(np.float32)
    assert np.array_equal(body_of(image, (0.0,), np.zeros((SIZE,) * 3, bool)), legs)


def test_nothing_to_split_is_told() -> None:
    with pytest.raises(ConfigurationError, match="labelled throughout; set it to 0"):
        TissueClasses.learn([np.zeros((0, 1))], 4)


def test_what_is_labelled_belongs_to_the_body_wherever_it_lies(trunk: np.ndarray) -> None:
    labelled = ball(3, (5, 35, 35))
    assert body_of(trunk, background_of(trunk), labelled)[labelled].all()


def test_classes_follow_intensities_in_their_order(trunk: np.ndarray) -> None:
    normal = trunk / 1000
    samples = sample_tissue(normal, ball(15), 1.0, np.random.default_rng(0))
    tissue = TissueClasses.learn([samples, samples], 3)
    assert [centre[0] for centre in tissue.centres] == sorted(centre[0] for centre in tissue.centres)
    classes = tissue.classify(normal)
    assert [int(classes[place]) for place in ((13, 20, 20), (20, 20, 20), (20, 30, 20))] == [0, 1, 2]


def test_the_scheme_gets_classes_of_unlabelled_tissue_behind_its_own_structures() -> None:
    scheme = LabelScheme("two", (Structure("organ", 1), Structure("tumor", 2)), {"all": ("organ", "tumor")})
    extended = TissueSplit(scheme, {UNLABELLED: TissueClasses(((0.1,), (0.5,)))}).scheme
    assert extended.names == ("organ", "tumor", "unlabelled_1", "unlabelled_2")
    assert extended.ids == (1, 2, 3, 4)
    assert extended.groups == scheme.groups


def test_a_structure_that_is_split_becomes_a_group_that_the_datasets_label_takes_back() -> None:
    structures = (
        Structure("hemisphere_left", 1, "hemisphere_right"),
        Structure("hemisphere_right", 2, "hemisphere_left"),
        Structure("ventricles", 3),
    )
    scheme = LabelScheme("brain", structures, {"head": ("hemisphere_left", "hemisphere_right", "ventricles")})
    classes = TissueClasses(((0.2,), (0.8,)))
    split = TissueSplit(scheme, dict.fromkeys(("hemisphere_left", "hemisphere_right"), classes))
    found = split.scheme
    assert found.ids == (1, 2, 3, 4, 5)
    assert found.resolve("hemisphere_right") == (3, 4)
    assert found.resolve("head") == (1, 2, 3, 4, 5)
    assert found.mirror_ids()[found.id_of("hemisphere_left_tissue_2")] == found.id_of("hemisphere_right_tissue_2")
    assert split_structures(found) == ("hemisphere_left", "hemisphere_right")
    table = propose_mapping(found, scheme).table
    assert table["hemisphere_left_tissue_1"] == "hemisphere_left"
    assert table["ventricles"] == "ventricles"

    label = np.zeros((8, 8, 8), np.int16)
    label[:4], label[4:], label[3:5, 3:5, 3:5] = 1, 2, 3
    image = np.zeros((1, 8, 8, 8), np.float32)
    image[:, :, 4:] = 1.0
    parted = split.apply(label, image, label > 0)
    assert [int(parted[place]) for place in ((0, 0, 0), (0, 7, 0), (7, 0, 0), (7, 7, 0), (3, 3, 3))] == [1, 2, 3, 4, 5]
    assert np.array_equal(propose_mapping(found, scheme).apply(parted), label)


def test_a_name_like_that_of_a_class_makes_none() -> None:
    scheme = LabelScheme("two", (Structure("soft_tissue_1", 1), Structure("bone", 2)))
    assert split_structures(scheme) == ()
    assert not is_tissue_class("soft_tissue_1", scheme)


@pytest.mark.parametrize("names", [("heart", "heart_1"), ("organ", "organ 1"), ("hemisphere_l", "hemisphere_r")])
def test_classes_go_back_to_their_own_structure_whatever_others_are_called(names: tuple[str, str]) -> None:
    scheme = LabelScheme("two", tuple(Structure(name, number) for number, name in enumerate(names, start=1)))
    split = TissueSplit(scheme, {names[0]: TissueClasses(((0.1,), (0.5,), (0.9,)))}).scheme
    table = propose_mapping(split, scheme).table
    assert table == {**{f"{names[0]}_tissue_{number}": names[0] for number in (1, 2, 3)}, names[1]: names[1]}
    assert split_structures(split) == names[:1]
