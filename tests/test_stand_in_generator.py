"""The stand-in is worth testing with: its pairs are sound at every volume that it allows."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.conditions import Condition
from synthaug.errors import BoundsError
from synthaug.quality import QualityConfig, check_pair
from tests.stand_in_generator import StandInGenerator


@pytest.mark.parametrize("volume_ml", [5.0, 12.5, 60.0, 150.0])
@pytest.mark.parametrize("shape", [(32, 32, 32), (32, 40, 36)])
def test_realised_volume_is_right_to_a_voxel(volume_ml: float, shape: tuple[int, int, int]) -> None:
    condition = Condition({"ventricles": volume_ml})
    pair = StandInGenerator(shape).generate([condition], [1])[0]
    report = check_pair(pair, condition, QualityConfig(volume_tolerance=0, absolute_tolerance_ml=0.04))
    assert report.passed, report.details


def test_the_same_seed_gives_the_same_pair_and_another_seed_another() -> None:
    condition = Condition({"ventricles": 30.0})
    first, again, other = StandInGenerator().generate([condition] * 3, [5, 5, 6])
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    assert (first.image != other.image).any()


def test_a_target_out_of_bounds_is_refused() -> None:
    with pytest.raises(BoundsError):
        StandInGenerator().generate([Condition({"ventricles": 151.0})], [0])


def test_another_version_has_another_fingerprint() -> None:
    assert StandInGenerator().fingerprint == StandInGenerator().fingerprint
    assert StandInGenerator().fingerprint != StandInGenerator(version=2).fingerprint
