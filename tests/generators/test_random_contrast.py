"""Images of any contrast for a label map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synthaug.generators.random_contrast import BRIGHTEST, RandomContrast
from synthaug.labels import LabelScheme, Structure

SCHEME = LabelScheme(
    "two_sided",
    (Structure("left", 5, "right"), Structure("right", 2, "left"), Structure("middle", 7)),
)
PLAIN = RandomContrast(deviation=0.0, bias=0.0, gamma=0.0, thick_share=0.0, ringing=0.0)


@pytest.fixture(scope="module")
def label() -> np.ndarray:
    label = np.zeros((40, 32, 24), np.int16)
    label[4:18, 4:28, 4:20], label[22:36, 4:28, 4:20], label[18:22, 4:28, 4:20] = 5, 2, 7
    return label


def draw(contrast: RandomContrast, label: np.ndarray, seed: int) -> np.ndarray:
    return contrast.image(label, SCHEME, (1.0, 1.0, 1.0), np.random.default_rng(seed))


def test_background_is_zero_tissue_is_not_and_seeds_tell_images_apart(label: np.ndarray) -> None:
    first, again, second = (draw(RandomContrast(), label, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert (first[label == 0] == 0).all()
    assert first[label > 0].min() > 0
    assert first.max() <= BRIGHTEST
    assert not np.array_equal(first, second)


def test_sides_of_the_body_share_their_intensities_and_structures_differ(label: np.ndarray) -> None:
    orders = set()
    for seed in range(8):
        image = draw(PLAIN, label, seed)
        left, right, middle = (float(np.median(image[label == number])) for number in (5, 2, 7))
        assert left == pytest.approx(right, abs=1)
        assert abs(left - middle) > 1
        orders.add(left > middle)
    assert orders == {True, False}, "either may be the brighter one"


@pytest.mark.parametrize("ignore_id", [1, 9])
def test_ignored_voxels_are_tissue_like_any_other(label: np.ndarray, ignore_id: int) -> None:
    scheme = replace(SCHEME, ignore_id=ignore_id)
    with_ignored = np.where(label == 7, ignore_id, label).astype(np.int16)
    means = set()
    for seed in range(4):
        image = PLAIN.image(with_ignored, scheme, (1.0, 1.0, 1.0), np.random.default_rng(seed))
        means.add(round(float(image[with_ignored == ignore_id].mean())))
    assert len(means) > 1


def test_a_strong_field_leaves_all_tissue_to_be_seen(label: np.ndarray) -> None:
    strong = RandomContrast(**{**vars(PLAIN), "bias": 1.5})
    for seed in range(6):
        image = draw(strong, label, seed)
        brightest = max(float(np.percentile(image[label == number], 90)) for number in (2, 5, 7))
        assert np.median(image[label == 2]) > 0.005 * brightest


@pytest.mark.parametrize(
    "change", [{"deviation": 0.2}, {"bias": 0.5}, {"gamma": 0.5}, {"thick_share": 1.0}, {"ringing": 1.0}]
)
def test_each_range_changes_the_image(label: np.ndarray, change: dict[str, float]) -> None:
    changed = RandomContrast(**{**vars(PLAIN), **change})
    assert any(not np.allclose(draw(PLAIN, label, seed), draw(changed, label, seed)) for seed in range(4))


def test_thick_slices_blur_along_one_axis(label: np.ndarray) -> None:
    noisy = RandomContrast(**{**vars(PLAIN), "deviation": 1.0})
    thick = RandomContrast(**{**vars(noisy), "thick_share": 1.0, "thickest_mm": 8.0})
    inside = (slice(23, 35), slice(6, 26), slice(6, 18))
    rough = np.array([np.abs(np.diff(draw(noisy, label, 3)[inside], axis=axis)).mean() for axis in range(3)])
    smooth = np.array([np.abs(np.diff(draw(thick, label, 3)[inside], axis=axis)).mean() for axis in range(3)])
    share = np.sort(smooth / rough)
    assert share[0] < 0.75 * share[1]
