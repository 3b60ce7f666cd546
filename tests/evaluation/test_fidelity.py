"""Fidelity figures are small among alike images, grow with what is wrong, and stand beside those of real cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.evaluation.extractors import AutoencoderLatents, Extractor, RandomConvolutions, frechet_distance
from synthaug.evaluation.fidelity import Appearance, Fidelity
from synthaug.labels import LabelScheme
from synthaug.networks.image_autoencoder import ImageAutoencoder
from synthaug.volumes import LabeledVolume
from synthaug.volumes.grid import Grid
from tests.stand_in_generator import StandInGenerator

SCHEME = LabelScheme.load("ventricles-t1")
GRID = Grid((64, 64, 64), (2.0, 2.0, 2.0))


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
    return Appearance.of(name, image, pair.label, pair.affine, SCHEME, GRID, extractors)


@pytest.fixture(scope="module")
def real(extractors: dict[str, Extractor]) -> list[Appearance]:
    return [appearance(f"real_{seed}", head(seed), head(seed).image, extractors) for seed in range(6)]


def report(real: list[Appearance], samples: list[Appearance]) -> Fidelity:
    fidelity = Fidelity(SCHEME, real)
    for one in samples:
        fidelity.add(one)
    return fidelity


def test_other_scanner_units_change_nothing(real: list[Appearance], extractors: dict[str, Extractor]) -> None:
    facts = report(
        real, [appearance(str(seed), head(seed), 7 * head(seed).image, extractors) for seed in range(6)]
    ).to_dict()
    assert facts["samples"] == facts["real_cases"] == 6
    for one in facts["frechet_distance"].values():
        assert one["samples"] == pytest.approx(0, abs=1e-2)
        assert one["real_halves"] > 0.01
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

    facts = report(real, [appearance(str(seed), head(seed), changed(seed), extractors) for seed in range(6)]).to_dict()
    for one in facts["frechet_distance"].values():
        assert one["samples"] > 3 * one["real_halves"]
    thalamus = facts["intensity"]["thalamus"]
    assert thalamus["sample_mean"] < 0.5 * thalamus["real_mean"]
    assert thalamus["sample_distance"] > 5 * thalamus["real_distance"]


def test_samples_that_are_all_alike_are_seen(real: list[Appearance]) -> None:
    fidelity = report(real, [real[0]] * 3)
    similarity = fidelity.to_dict()["ms_ssim"]
    assert similarity["samples"] == pytest.approx(1, abs=1e-4)
    assert similarity["real"] < 0.99
    text = fidelity.to_markdown()
    assert "| MS-SSIM between two images | 1.000 |" in text
    assert "| thalamus |" in text


def test_one_sample_has_no_diversity(real: list[Appearance]) -> None:
    fidelity = report(real, real[:1])
    assert fidelity.to_dict()["ms_ssim"]["samples"] is None
    assert "| MS-SSIM between two images | - |" in fidelity.to_markdown()


def test_too_few_vectors_have_no_distance(real: list[Appearance]) -> None:
    few = [replace(one, features={"latents": one.features["latents"][:1]}) for one in real]
    fidelity = report(few, few)
    assert fidelity.to_dict()["frechet_distance"] == {"latents": {"samples": None, "real_halves": None}}
    assert "| Fréchet distance, latents (real: between halves) | - | - |" in fidelity.to_markdown()


def test_too_few_real_images_are_refused(real: list[Appearance]) -> None:
    with pytest.raises(ConfigurationError, match=r"3 real case\(s\) with an image among --real; 4 or more"):
        Fidelity(SCHEME, real[:3])


def test_the_distance_between_gaussians_is_the_known_one() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, (20000, 2)), rng.normal((3, 0), 2, (20000, 2))
    assert frechet_distance(one, other) == pytest.approx(9 + 2 * (2 - 1) ** 2, rel=0.05)


def test_features_come_from_the_head_alone(extractors: dict[str, Extractor]) -> None:
    pair = head(0)
    image, inside = torch.from_numpy(pair.image[0]), torch.from_numpy(pair.label > 0)
    slices = extractors["random"].features(image, inside)
    blocks = extractors["latents"].features(image, inside)
    assert slices.shape == (24, 48)
    assert blocks.shape[1] == 6
    assert 4 < len(blocks) <= 64
    np.testing.assert_array_equal(slices, RandomConvolutions().features(image, inside))
