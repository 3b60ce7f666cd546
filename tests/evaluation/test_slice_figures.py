"""Neighbouring slices are compared structure by structure, across joins and elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from synthaug.errors import ConfigurationError
from synthaug.evaluation.slice_figures import join_dice, neighbour_dice
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
    across, between = join_dice("pair", pair, ("one", "other"))
    assert across == pytest.approx([2 / 3])
    assert between == pytest.approx([1, 1])


def test_a_pair_without_joins_has_no_figure_of_them() -> None:
    across, between = join_dice("pair", stack([[1, 1]] * 4), ("one", "other"))
    assert (len(across), len(between)) == (0, 0)


@pytest.mark.parametrize("join", [0, 4, 1.5])
def test_joins_between_no_two_slices_are_refused(join: float) -> None:
    with pytest.raises(ConfigurationError, match=r"pair: .* 1 to 3"):
        join_dice("pair", stack([[1, 1]] * 4, joins=[join]), ("one", "other"))
