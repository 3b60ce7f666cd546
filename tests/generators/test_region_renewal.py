"""A region made anew: what it touches, and what it asks for."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.generators.guided_ldm import GuidedLDM
from synthaug.generators.region_renewal import RegionRenewal
from synthaug.labels import LabelScheme, Structure
from synthaug.volumes import LabeledVolume
from tests.generators.tiny_guided_ldm import write_tiny_generator
from tests.stand_in_generator import StandInGenerator

SCHEME = LabelScheme.load("ventricles-t1")


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> GuidedLDM:
    return GuidedLDM.load(write_tiny_generator(tmp_path_factory.mktemp("painter") / "tiny"), device="cpu")


@pytest.fixture(scope="module")
def pair() -> LabeledVolume:
    (pair,) = StandInGenerator(shape=(40, 36, 44), spacing_mm=3.0).generate([Condition({"ventricles": 30.0})], [1])
    return pair


def test_outside_the_region_and_in_the_background_not_a_bit_changes(painter: GuidedLDM, pair: LabeledVolume) -> None:
    region = np.zeros(pair.label.shape, bool)
    region[10:30, 8:20, :] = True
    image = RegionRenewal(painter, SCHEME, ("T1",), 0.5).renew(pair, region, seed=1)
    assert image.shape == pair.image.shape
    assert image.dtype == np.float32
    allowed = region & (pair.label > 0)
    np.testing.assert_array_equal(image[0][~allowed], pair.image[0][~allowed])
    assert (image[0][allowed] != pair.image[0][allowed]).mean() > 0.9
    assert (image[0][pair.label > 0] > 0).all()


def test_seeds_make_different_images_and_the_same_seed_the_same(painter: GuidedLDM, pair: LabeledVolume) -> None:
    renewal, region = RegionRenewal(painter, SCHEME, ("T1",), 0.8), pair.label > 0
    first, again, other = (renewal.renew(pair, region, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_empty_region_gives_the_image_itself(painter: GuidedLDM, pair: LabeledVolume) -> None:
    nothing = np.zeros(pair.label.shape, bool)
    assert RegionRenewal(painter, SCHEME, ("T1",), 0.5).renew(pair, nothing, seed=1) is pair.image


def test_pairs_that_do_not_fit_the_painter_are_refused(painter: GuidedLDM) -> None:
    with pytest.raises(ConfigurationError, match="T1, T2"):
        RegionRenewal(painter, SCHEME, ("T1", "T2"), 0.5)
    tumour = LabelScheme("tumour", (Structure("tumour", 1),), {})
    with pytest.raises(ConfigurationError, match=r"strength 0\.5 needs label maps"):
        RegionRenewal(painter, tumour, ("T1",), 0.5)


def test_little_strength_keeps_more_of_the_old_latent_than_much(painter: GuidedLDM, pair: LabeledVolume) -> None:
    region = pair.label > 0
    changes = [
        float(np.abs(RegionRenewal(painter, SCHEME, ("T1",), strength).renew(pair, region, seed=3) - full).mean())
        for full in [RegionRenewal(painter, SCHEME, ("T1",), 1.0).renew(pair, region, seed=3)]
        for strength in (0.9, 0.2)
    ]
    assert changes[0] < changes[1]
