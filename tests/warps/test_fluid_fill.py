"""A filled fluid space is dark within, keeps its border, and changes nothing outside."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.warps.fluid_fill import BORDER_MM, fill_fluid, fill_fluid_channels

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]

SHAPE = (40, 40, 40)
SPACING_MM = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def inflated() -> Arrays:
    """A grey ball of 12 mm in bright tissue, and the intensities that it had before: dark ones, and mixed ones."""
    axis = np.arange(40) - 19.5
    radius = np.sqrt(sum(one**2 for one in np.meshgrid(axis, axis, axis, indexing="ij")))
    rng = np.random.default_rng(0)
    image = np.where(radius < 12, 60.0, 110.0) + rng.normal(0, 2, SHAPE)
    own = np.concatenate([rng.normal(20, 2, 300), rng.uniform(30, 100, 700)])
    return image.astype(np.float32), radius, own.astype(np.float32)


def test_the_interior_is_as_dark_as_the_subject_s_own_fluid(
    inflated: Arrays,
) -> None:
    image, radius, own = inflated
    filled = fill_fluid(image, radius < 12, own, spacing_mm=SPACING_MM, seed=1)
    deep = radius < 12 - BORDER_MM[1] - 0.5
    assert filled.dtype == np.float32
    assert filled[deep].mean() == pytest.approx(np.percentile(own, 10), abs=1)
    assert 0 < filled[deep].std() < 3
    assert filled.min() >= own.min()
    np.testing.assert_array_equal(filled[radius >= 12], image[radius >= 12])
    between = filled[(radius < 11.2) & (radius > 10)]
    assert filled[deep].mean() < between.mean() < 60


def test_the_same_seed_gives_the_same_noise(inflated: Arrays) -> None:
    image, radius, own = inflated
    first, again, other = (fill_fluid(image, radius < 12, own, spacing_mm=SPACING_MM, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_to_fill_leaves_the_image(inflated: Arrays) -> None:
    image, radius, own = inflated
    assert fill_fluid(image, radius < 0, own, spacing_mm=SPACING_MM, seed=1) is image
    assert fill_fluid(image, radius < 12, own[:0], spacing_mm=SPACING_MM, seed=1) is image


def test_each_channel_is_filled_from_its_own_fluid(inflated: Arrays) -> None:
    image, radius, _ = inflated
    inside, inside_before = radius < 12, radius < 6
    before = np.stack([np.full(SHAPE, level, np.float32) for level in (20.0, 70.0)])
    filled = fill_fluid_channels(np.stack([image, image]), inside, before, inside_before, spacing_mm=SPACING_MM, seed=1)
    for channel, level in zip(filled, (20.0, 70.0), strict=True):
        assert float(np.median(channel[radius < 8])) == pytest.approx(level, abs=2)
        assert np.array_equal(channel[~inside], image[~inside])
