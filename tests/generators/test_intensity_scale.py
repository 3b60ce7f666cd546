"""Scales of intensities: there and back, with backgrounds that stay exact and units that are kept."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.generators.intensity_scale import LEAST, MOST, IntensityScale


def test_tissue_above_0_on_a_background_of_0_stays_above_it() -> None:
    tissue = np.linspace(0, 1000, 2001)
    scale = IntensityScale.of(tissue)
    assert (scale.zero, scale.background) == (0.0, 0.0)
    restored = scale.restore(scale.normalise(np.array([0.0, 500.0, 990.0])), np.ones(3, bool))
    assert restored[0] == pytest.approx(LEAST * scale.one)
    np.testing.assert_allclose(restored[1:], [500, 990], rtol=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "background"), [(-1000.0, 1500.0, -1024.0), (-3.0, 3.0, 0.0), (20.0, 90.0, 5.0)]
)
def test_other_channels_come_back_as_they_were(low: float, high: float, background: float) -> None:
    tissue = np.linspace(low, high, 1000)
    scale = IntensityScale.of(tissue, background)
    np.testing.assert_allclose(scale.restore(scale.normalise(tissue), np.ones(1000, bool)), tissue, atol=1e-3)
    assert scale.restore(np.zeros(2, np.float32), np.array([False, True])).tolist() == pytest.approx(
        [background, scale.zero]
    )


def test_far_outliers_are_cut_off() -> None:
    scale = IntensityScale(0.0, 100.0)
    assert scale.normalise(np.array([1e9])) == pytest.approx(MOST)


def test_a_middling_scale_has_the_medians_and_the_unit() -> None:
    scales = [IntensityScale(0.0, one, background, absolute=True) for one, background in ((1, 0), (5, -3), (9, -4))]
    assert IntensityScale.middling(scales) == IntensityScale(0.0, 5.0, -3.0, absolute=True)
