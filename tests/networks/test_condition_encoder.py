"""Conditions as network input."""

from __future__ import annotations

import pytest
import torch

from synthaug.errors import BoundsError
from synthaug.networks.condition_encoder import ConditionEncoder, condition_vector

LIMITS_ML = {"ventricles": (5.0, 150.0), "brain": (900.0, 1700.0)}
CONTROLS = tuple(LIMITS_ML)


def test_nothing_asked_for_is_the_null_condition_of_zeros() -> None:
    assert torch.equal(condition_vector({}, CONTROLS, LIMITS_ML), torch.zeros(2, 2))


def test_bounds_map_to_minus_one_and_one_and_the_geometric_mean_to_zero() -> None:
    values = [
        float(condition_vector({"ventricles": volume}, CONTROLS, LIMITS_ML)[0, 0])
        for volume in (5.0, (5.0 * 150.0) ** 0.5, 150.0)
    ]
    assert values == pytest.approx([-1.0, 0.0, 1.0], abs=1e-6)


def test_a_control_at_its_middle_is_not_the_null_condition() -> None:
    vector = condition_vector({"ventricles": (5.0 * 150.0) ** 0.5}, CONTROLS, LIMITS_ML)
    assert vector[0, 1] == 1
    assert torch.equal(vector[1], torch.zeros(2))


def test_a_volume_without_logarithm_is_refused() -> None:
    with pytest.raises(BoundsError, match="above 0"):
        condition_vector({"ventricles": 0.0}, CONTROLS, LIMITS_ML)


def test_controls_with_the_same_values_have_tokens_of_their_own() -> None:
    torch.manual_seed(0)
    tokens = ConditionEncoder(2, 8)(torch.zeros(3, 2, 2))
    assert tokens.shape == (3, 2, 8)
    assert not torch.equal(tokens[0, 0], tokens[0, 1])
