"""A trend follows the size of the ventricles, and knows how far real brains are from it."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.anatomy import Trend


def test_a_trend_follows_the_size_of_the_ventricles() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0])
    trend = Trend.through(x, 2 * x + np.array([0.1, -0.1, -0.1, 0.1]), slack=0.05)
    assert trend.slope == pytest.approx(2)
    assert trend.excess(10.0, 20.0) < 1 < trend.excess(10.0, 21.0)
    assert Trend.through(np.ones(3), np.array([1.0, 2.0, 3.0]), 0.0).slope == 0


def test_the_nearest_value_in_a_share_of_the_range() -> None:
    trend = Trend(slope=1.0, intercept=2.0, reach=0.4)
    assert trend.nearest(3.0, 5.1, share=0.5) == 5.1
    assert trend.nearest(3.0, 9.0, share=0.5) == pytest.approx(5.2)
    assert trend.nearest(3.0, 0.0, share=0.5) == pytest.approx(4.8)
