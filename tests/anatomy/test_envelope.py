"""What lies at the surface of the brain is found where a look at the whole field of view finds it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from synthaug.anatomy.envelope import beyond_envelope


@pytest.fixture
def ball() -> np.ndarray:
    x, y, z = np.indices((60, 60, 60)) - 30
    return (x**2 + y**2 + z**2 < 24**2).astype(np.uint8)


def of_the_whole(label: np.ndarray) -> np.ndarray:
    closed = ndimage.binary_closing(np.pad(label > 0, 8), iterations=4)
    return ~ndimage.binary_erosion(closed)[(slice(8, -8),) * 3]


@pytest.mark.parametrize("place", [(slice(20, 40),) * 3, (slice(25, 34), slice(0, 14), slice(20, 50))])
def test_a_structure_s_box_tells_as_much_as_the_whole(ball: np.ndarray, place: tuple[slice, ...]) -> None:
    ball[place] *= 2
    inside = ball == 2
    assert inside.any()
    assert np.array_equal(beyond_envelope(ball, inside) & inside, of_the_whole(ball) & inside)


def test_a_narrow_cleft_is_no_surface_and_a_wide_one_is(ball: np.ndarray) -> None:
    ball[20:40, 20:40, 20:40] = 2
    for width, bare in ((4, False), (16, True)):
        cleft = ball.copy()
        cleft[30 - width // 2 : 30 + width // 2, :, 38:] = 0
        assert (beyond_envelope(cleft, cleft == 2) & (cleft == 2)).any() == bare


def test_what_is_apart_from_the_brain_is_beyond(ball: np.ndarray) -> None:
    ball[1:4, 1:4, 1:4] = 2
    assert (beyond_envelope(ball, ball == 2) & (ball == 2)).sum() == 27
    assert not beyond_envelope(ball, ball == 3).any()
