"""Fidelity figures are small among alike images, grow with what is wrong, and stand beside those of real cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.evaluation.extractors import AutoencoderLatents, Extractor, RandomConvolutions, frechet_distance
from synthaug.evaluation.fidelity import Appearance, FidelityReport, ImageLook, RealAppearances, size_at_2mm
from synthaug.evaluation.perceptual_maps import PerceptualMaps
from synthaug.labels import LabelScheme
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.volumes import LabeledVolume
from synthaug.volumes.grid import Grid
from tests.stand_in_generator import StandInGenerator

SCHEME = LabelScheme.load("ventricles-t1")
GRID = Grid((64, 64 + 16, 64), (2.0, 2.0, 2.0))


def head(seed: int) -> LabeledVolume:
    (pair,) = StandInGenerator(shape=GRID.shape, spacing_mm=2.0).generate(
        [Condition({"ventricles": 20.0 + 8 * seed})], [seed]
    )
    return pair


@pytest.fixture(scope="module")
def extractors() -> dict[str, Extractor]:
    torch.manual_seed(0)
    network = ImageAutoencoder(1, SCHEME.num_classes, channels=(8,), latent_channels=2)
    return {"random": RandomConvolutions(), "latents": AutoencoderLatents(network)}


def appearance(name: str, pair: LabeledVolume, image: np.ndarray, extractors: dict[str, Extractor]) -> Appearance:
    look = ImageLook(SCHEME, GRID, extractors, PerceptualMaps.within(size_at_2mm(GRID), None))
    return Appearance.of(name, image, pair.label, pair.affine, look)


@pytest.fixture(scope="module")
def real(extractors: dict[str, Extractor]) -> list[Appearance]:
    return [appearance(f"real_{seed}", head(seed), head(seed).image, extractors) for seed in range(6)]


def report(real: list[Appearance], samples: list[Appearance]) -> FidelityReport:
    return RealAppearances(SCHEME, tuple(real)).compare(samples)


def test_other_scanner_units_change_nothing(real: list[Appearance], extractors: dict[str, Extractor]) -> None:
    facts = report(
        real, [appearance(str(seed), head(seed), 7 * head(seed).image, extractors) for seed in range(6)]
    ).facts
    assert facts["samples"] == facts["real_cases"] == 6
    for one in facts["frechet_distance"].values():
        assert one["samples"] < 1.5 * one["real"]
        assert one["real"] > 0.01
    assert facts["ms_ssim"]["samples"] == pytest.approx(facts["ms_ssim"]["real"], abs=1e-4)
    for structure, one in facts["intensity"].items():
        assert one["sample_mean"] == pytest.approx(one["real_mean"], abs=1e-4), structure


def test_blur_noise_and_a_wrong_contrast_are_seen(real: list[Appearance], extractors: dict[str, Extractor]) -> None:
    rng = np.random.default_rng(0)

    def changed(seed: int) -> np.ndarray:
        pair = head(seed)
        image = pair.image + 15 * rng.standard_normal(pair.image.shape).astype(np.float32) * (pair.label > 0)
        image[0][pair.label == SCHEME.id_of("thalamus")] = 30
        return image

    facts = report(real, [appearance(str(seed), head(seed), changed(seed), extractors) for seed in range(6)]).facts
    for one in facts["frechet_distance"].values():
        assert one["samples"] > 2 * one["real"]
    thalamus = facts["intensity"]["thalamus"]
    assert thalamus["sample_mean"] < 0.5 * thalamus["real_mean"]
    assert thalamus["sample_distance"] > 5 * thalamus["real_distance"]


def test_samples_that_are_all_alike_are_seen(real: list[Appearance]) -> None:
    fidelity = report(real, [real[0]] * 3)
    similarity = fidelity.facts["ms_ssim"]
    assert similarity["samples"] == pytest.approx(1, abs=1e-4)
    assert similarity["real"] < 0.99
    distance = fidelity.facts["lpips"]
    assert distance["samples"] == pytest.approx(0, abs=1e-4)
    assert distance["real"] > 0.01


def test_one_sample_has_no_diversity(real: list[Appearance]) -> None:
    fidelity = report(real, real[:1])
    assert fidelity.facts["ms_ssim"]["samples"] is None
    assert fidelity.facts["lpips"]["samples"] is None


def test_too_few_vectors_have_no_distance(real: list[Appearance]) -> None:
    few = [replace(one, features={"latents": one.features["latents"][:1]}) for one in real]
    fidelity = report(few, few)
    assert fidelity.facts["frechet_distance"] == {"latents": {"samples": None, "real": None}}


def test_too_few_real_images_are_refused(real: list[Appearance]) -> None:
    with pytest.raises(ConfigurationError, match=r"5 real case\(s\) with an image among --real; 6 or more"):
        RealAppearances(SCHEME, tuple(real[:5]))


def test_images_of_the_real_kind_are_as_far_as_real_ones_however_many(
    real: list[Appearance], extractors: dict[str, Extractor]
) -> None:
    samples = [appearance(f"new_{seed}", head(seed), head(seed).image, extractors) for seed in range(6, 14)]
    for one in report([*real, *samples[4:]], [*real, *samples]).facts["frechet_distance"].values():
        assert one["samples"] < 1.3 * one["real"]


def test_a_dark_image_and_an_empty_label_map_are_refused_by_name(extractors: dict[str, Extractor]) -> None:
    pair = head(0)
    with pytest.raises(ConfigurationError, match="image of dark is 0"):
        appearance("dark", pair, 0 * pair.image, extractors)
    empty = replace(pair, label=0 * pair.label)
    with pytest.raises(ConfigurationError, match="label map of empty is empty"):
        appearance("empty", empty, pair.image, extractors)


def test_the_distance_between_gaussians_is_the_known_one() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, (20000, 2)), rng.normal((3, 0), 2, (20000, 2))
    assert frechet_distance(one, other) == pytest.approx(9 + 2 * (2 - 1) ** 2, rel=0.05)


def test_features_have_the_documented_shapes_and_are_always_the_same(extractors: dict[str, Extractor]) -> None:
    pair = head(0)
    image, inside = torch.from_numpy(pair.image[0]), torch.from_numpy(pair.label > 0)
    slices = extractors["random"].features(image, inside)
    blocks = extractors["latents"].features(image, inside)
    assert slices.shape == (24, 48)
    assert blocks.shape[1] == 6
    assert 4 < len(blocks) <= 64
    np.testing.assert_array_equal(slices, RandomConvolutions().features(image, inside))
