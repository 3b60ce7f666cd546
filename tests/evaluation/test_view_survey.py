"""Sets of pairs are ranked as they should be, wherever a head lies and whatever its scanner's units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthaug.conditions import Condition
from synthaug.errors import ConfigurationError
from synthaug.evaluation.extractors import Extractor, RandomConvolutions
from synthaug.evaluation.fidelity import ImageLook
from synthaug.evaluation.perceptual_maps import PerceptualMaps
from synthaug.evaluation.slice_extractors import SliceStatistics
from synthaug.evaluation.view_survey import HEAD, SLICES, Look, ViewSurvey, head_of
from synthaug.labels import LabelScheme, Structure
from synthaug.volumes import LabeledVolume
from synthaug.volumes.grid import Grid
from tests.stand_in_generator import StandInGenerator

PLACES = torch.tensor([[12, 16, 20]] * 3)


def head(seed: int, volume_ml: float = 30.0) -> LabeledVolume:
    (pair,) = StandInGenerator().generate([Condition({"ventricles": volume_ml})], [seed])
    return pair


@pytest.fixture
def look() -> Look:
    places = torch.linspace(6, 26, SLICES).round().long().repeat(3, 1)
    statistics = SliceStatistics(places)
    extractors: dict[str, Extractor] = {
        "slices": statistics,
        "blocks": RandomConvolutions(),
    }
    grid, perceptual = Grid((32, 32, 32), (4.0, 4.0, 4.0)), PerceptualMaps("random", statistics.maps, None, PLACES)
    images = ImageLook(HEAD, grid, extractors, perceptual)
    return Look(grid, ("cerebral_cortex", "csf", "thalamus"), False, images)


def test_noise_is_further_from_real_images_than_other_real_ones_and_copies_are_less_diverse(look: Look) -> None:
    rng = np.random.default_rng(0)

    def noisy(pair: LabeledVolume) -> LabeledVolume:
        noise = 20 * rng.standard_normal(pair.image.shape).astype(np.float32)
        return replace(pair, image=np.where(pair.label > 0, np.maximum(pair.image + noise, 1), 0).astype(np.float32))

    held_out = ViewSurvey.of(((str(seed), head(seed)) for seed in range(3)), look, is_real=True)
    others = ViewSurvey.of(((str(seed), head(seed)) for seed in range(3, 7)), look, is_real=True)
    wrong = ViewSurvey.of(((str(seed), noisy(head(seed))) for seed in range(3, 7)), look, is_real=False)
    copies = ViewSurvey.of(((str(index), head(3)) for index in range(3)), look, is_real=False)
    real, noise, same = (seen.figures(held_out, 3) for seen in (others, wrong, copies))
    assert noise["fid"] > 2 * real["fid"]
    assert noise["lpips"] > real["lpips"] > 0
    assert same["lpips"] == 0
    assert same["ms_ssim"] == pytest.approx(1, abs=1e-4)
    assert noise["ms_ssim"] < real["ms_ssim"] < 1
    assert others.figures(held_out, 2)["fid"] is None


def test_scanner_units_and_places_in_the_field_of_view_change_nothing(look: Look) -> None:
    pair = head(0)
    moved = replace(
        pair,
        image=np.roll(5 * pair.image, (1, -1, 2), (1, 2, 3)),
        label=np.roll(pair.label, (1, -1, 2), (0, 1, 2)),
    )
    here, there = (ViewSurvey.of([("", one)], look, is_real=True) for one in (pair, moved))
    for name, features in here.appearances[0].features.items():
        np.testing.assert_allclose(there.appearances[0].features[name], features, atol=1e-4, err_msg=name)
    assert here.neighbours == there.neighbours


def test_real_tissue_without_a_label_is_looked_at_where_generators_make_it() -> None:
    place = np.indices((32, 32, 32)) - 15.5
    radius = np.sqrt((place**2).sum(axis=0))
    label, image = (radius < 5).astype(np.int16), (radius < 12).astype(np.float32)[None]
    pair = LabeledVolume(image, label, np.eye(4), LabelScheme("one", (Structure("one", 1),)), ("T1",))
    assert (head_of(pair, with_body=False) == (label > 0)).all()
    assert (head_of(pair, with_body=True) == (image[0] > 0)).all()
    with pytest.raises(ConfigurationError, match="is empty"):
        head_of(replace(pair, label=np.zeros_like(label)), with_body=False)
