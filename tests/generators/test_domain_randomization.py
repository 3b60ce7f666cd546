"""Domain randomisation on the label maps of real cases, and on those of a guided LDM."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError, GeometryError, LabelError
from synthaug.generators.cases import CasePaths
from synthaug.generators.domain_randomization import DomainRandomization, LabelFirstDomainRandomization
from synthaug.generators.protocol import ImageForLabelGenerator, LabelFirstGenerator, PairGenerator
from synthaug.generators.registry import draws_from_cases, list_generators, load_generator
from synthaug.labels import LabelScheme
from synthaug.quality import generate_checked
from synthaug.volumes import write_image, write_label
from tests.generators.tiny_guided_ldm import SHAPE, write_tiny_generator
from tests.stand_in_generator import StandInGenerator

NAME = "domain-randomization"
ASKED = Condition({"ventricles": 40.0})


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[CasePaths]:
    folder = tmp_path_factory.mktemp("cases")
    generator = StandInGenerator(shape=(48, 48, 48), spacing_mm=3.0)
    found = []
    for seed in range(2):
        (pair,) = generator.generate([Condition({"ventricles": 30.0 + 5 * seed})], [seed])
        image, label = folder / f"{seed}_0000.nii.gz", folder / f"{seed}.nii.gz"
        write_image(image, pair.image, pair.affine)
        write_label(label, pair.label, pair.affine)
        found.append(CasePaths(f"case_{seed}", (image,), label))
    return found


@pytest.fixture(scope="module")
def warped(cases: list[CasePaths]) -> PairGenerator:
    return load_generator(NAME, cases=cases, scheme=LabelScheme.load("ventricles-t1"), channels=("T1",))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_generator(tmp_path_factory.mktemp("tiny") / "tiny")


def test_pairs_have_the_volume_asked_for_and_pass_quality_control(warped: PairGenerator) -> None:
    checked = generate_checked(warped, ASKED, 5)
    assert checked.pair is not None
    assert checked.pair.volumes_ml()["ventricles"] == pytest.approx(40, rel=0.05)
    assert checked.pair.provenance["generator"] == NAME
    assert checked.pair.provenance["masks"] == "counterfactual"
    assert [case.identifier for case in warped.training_cases] == ["case_0", "case_1"]


def test_a_seed_gives_a_pair_whatever_is_beside_it_and_contrasts_differ(warped: PairGenerator) -> None:
    first, second, third = warped.generate([ASKED] * 3, [5, 6, 7])
    (again,) = warped.generate([ASKED], [5])
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    white, cortex = (first.scheme.id_of(name) for name in ("cerebral_white_matter", "cerebral_cortex"))
    ratios = [
        float(pair.image[0][pair.label == white].mean() / pair.image[0][pair.label == cortex].mean())
        for pair in (first, second, third)
    ]
    assert np.ptp(np.log(ratios)) > 0.1


def test_label_maps_of_a_generator_get_an_image_for_each_channel(tiny: Path) -> None:
    generator = load_generator(NAME, masks=str(tiny), channels=("T1", "T2"), bias=0.1, steps=2, device="cpu")
    assert isinstance(generator, LabelFirstDomainRandomization)
    assert isinstance(generator, LabelFirstGenerator)
    assert isinstance(generator, ImageForLabelGenerator)
    assert generator.contrast.bias == 0.1
    masks = load_generator(tiny, steps=2, device="cpu")
    (pair,) = generator.generate([Condition({"ventricles": 25.0})], [3])
    (label,) = generator.sample_labels([Condition({"ventricles": 25.0})], [3])
    (own,) = masks.generate([Condition({"ventricles": 25.0})], [3])
    np.testing.assert_array_equal(pair.label, label)
    assert pair.provenance["device"] == "cpu"
    np.testing.assert_array_equal(pair.label, own.label)
    assert pair.image.shape == (2, *SHAPE)
    assert not np.array_equal(*pair.image)
    np.testing.assert_array_equal(generator.generate_images([label], [3])[0], pair.image)
    assert (pair.image[:, label == 0] == 0).all()
    assert generator.training_cases == masks.training_cases
    assert generator.fingerprint != load_generator(NAME, masks=str(tiny), channels=("T1",), device="cpu").fingerprint


def test_label_maps_that_do_not_fit_are_refused(tiny: Path) -> None:
    generator = load_generator(NAME, masks=str(tiny), device="cpu")
    assert isinstance(generator, LabelFirstDomainRandomization)
    with pytest.raises(GeometryError, match="place it on that grid"):
        generator.generate_images([np.zeros((8, 8, 8), np.int16)], [0])
    with pytest.raises(LabelError, match="99"):
        generator.generate_images([np.full(SHAPE, 99, np.int16)], [0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs label maps"),
        ({"masks": "counterfactual"}, "no label maps of its own"),
        ({"masks": NAME}, "no label maps of its own"),
        ({"masks": "ventricles-t1-1mm", "channels": "T1"}, "channels is 'T1'"),
        ({"masks": "ventricles-t1-1mm", "channels": []}, "channels is"),
        ({"masks": "no-such"}, "no generator 'no-such'"),
        ({"bias": -1}, "bias"),
        ({"masks": "ventricles-t1-1mm", "biass": 0.1}, "biass"),
    ],
)
def test_mistakes_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_generator(NAME, device="cpu", **options)


def test_cases_and_masks_exclude_each_other_and_sparse_labels_are_refused(cases: list[CasePaths], tiny: Path) -> None:
    scheme = LabelScheme.load("ventricles-t1")
    with pytest.raises(ConfigurationError, match="give one"):
        load_generator(NAME, cases=cases, scheme=scheme, masks=str(tiny), device="cpu")
    with pytest.raises(ConfigurationError, match=r"cover \d+% of the head of sparse"):
        load_generator(NAME, cases=[cases[0], sparse(cases[0])], scheme=scheme, channels=("T1",))


def test_options_of_the_warps_are_known_by_name(cases: list[CasePaths]) -> None:
    scheme = LabelScheme.load("ventricles-t1")
    for option in ("biass", "fill", "strength"):
        given: dict[str, Any] = {option: 0.1}
        with pytest.raises(ConfigurationError, match=f"{NAME}: unknown option '{option}'"):
            load_generator(NAME, cases=cases, scheme=scheme, channels=("T1",), **given)


def test_the_time_of_a_label_map_is_that_of_its_making(tiny: Path) -> None:
    generator = load_generator(NAME, masks=str(tiny), mask_steps=40, device="cpu")
    assert isinstance(generator, LabelFirstDomainRandomization)
    started = time.perf_counter()
    generator.sample_labels([ASKED], [5])
    seconds = time.perf_counter() - started
    (pair,) = generator.generate([ASKED], [5])
    assert pair.provenance["seconds"] > 0.5 * seconds


def sparse(case: CasePaths) -> CasePaths:
    """The case with its ventricles alone."""
    from synthaug.volumes import read_label

    scheme = LabelScheme.load("ventricles-t1")
    label, affine = read_label(case.label, scheme)
    path = case.label.with_name("sparse.nii.gz")
    write_label(path, np.where(np.isin(label, scheme.resolve("ventricles")), label, 0).astype(np.int16), affine)
    return CasePaths("sparse", case.images, path)


def test_the_registry_knows_it_and_when_it_needs_cases() -> None:
    assert NAME in [info.name for info in list_generators()]
    assert draws_from_cases(NAME, {})
    assert not draws_from_cases(NAME, {"masks": "ventricles-t1-1mm"})
    assert DomainRandomization.name == NAME
