"""Neighbouring slices are compared structure by structure, across joins and elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from synthaug.errors import ConfigurationError
from synthaug.evaluation.slice_figures import dice_at_joins, join_dice, neighbour_dice, sharpness
from synthaug.labels import LabelScheme, Structure
from synthaug.volumes import LabeledVolume


def stack(slices: Sequence[Sequence[int]], **provenance: Any) -> LabeledVolume:
    """A pair whose axial slices hold one row of ids each."""
    label = np.array(slices, dtype=np.int16).T[:, None, :]
    scheme = LabelScheme("two", (Structure("one", 1), Structure("other_tissue_1", 2), Structure("other_tissue_2", 3)),
                         {"other": ("other_tissue_1", "other_tissue_2")})  # fmt: skip
    return LabeledVolume(label[None].astype(np.float32), label, np.eye(4), scheme, ("T1",), dict(provenance))


def test_neighbouring_slices_are_compared_by_the_structures_of_the_dataset() -> None:
    pair = stack([[0, 0, 0], [1, 1, 2], [1, 0, 3], [0, 0, 0], [0, 0, 0]])
    # nothing before: 0; one 2/3 and other, whatever its class by intensity, 1; nothing after: 0; neither has any
    np.testing.assert_allclose(neighbour_dice(pair, ("one", "other")), [0, 5 / 6, 0, np.nan])


def test_joins_of_a_sequence_are_told_from_the_rest() -> None:
    pair = stack([[1, 1], [1, 1], [0, 1], [0, 1]], joins=[2])
    nan = np.nan
    found = join_dice("pair", pair, ("one", "other"))
    assert found is not None
    np.testing.assert_allclose(found, [[nan, 2 / 3, nan], [1, nan, 1]])


def test_a_pair_without_joins_has_no_figure_of_them() -> None:
    assert join_dice("pair", stack([[1, 1]] * 4), ("one", "other")) is None
    assert dice_at_joins([]) == (None, None)


def test_joins_are_compared_with_the_same_heights_of_other_pairs() -> None:
    nan = np.nan
    pairs = [
        np.array([[0.5, nan, nan, nan], [nan, 0.9, 0.2, nan]]),
        np.array([[0.7, nan, 0.1, 0.4], [nan, 0.8, nan, nan]]),
        np.array([[nan, nan, nan, nan], [0.8, nan, 0.3, nan]]),
    ]
    # heights 0 (twice a join) and 2 (once); at height 1 no pair has a join, at height 3 no other pair has slices
    assert dice_at_joins(pairs) == pytest.approx(((2 * 0.6 + 0.1) / 3, (2 * 0.8 + 0.25) / 3))
    assert dice_at_joins(pairs[:1]) == (None, None)


def test_sharpness_is_the_mean_step_within_the_head_whatever_the_brightness() -> None:
    image = np.zeros((4, 4, 4), np.float32)
    image[:2], image[2:] = 1.0, 2.0
    head = np.ones_like(image, dtype=bool)
    # of 3 x 48 couples of neighbours, the 16 across the middle differ, by half of the brightest
    assert sharpness(image, head) == pytest.approx(16 * 0.5 / 144)
    assert sharpness(100 * image, head) == pytest.approx(sharpness(image, head))
    head[2:] = False
    assert sharpness(image, head) == 0  # the outline of a head is no texture


@pytest.mark.parametrize("join", [0, 4, 1.5])
def test_joins_between_no_two_slices_are_refused(join: float) -> None:
    with pytest.raises(ConfigurationError, match=r"pair: .* 1 to 3"):
        join_dice("pair", stack([[1, 1]] * 4, joins=[join]), ("one", "other"))
