"""Closed-loop control on a response that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch

from synthaug.generators.volume_search import VolumeSearch


class Response:
    """Realised volume = gain * condition ** slope; the label map is a stand-in that carries the volumes."""

    def __init__(self, gain: float, slope: float) -> None:
        self.gain, self.slope = gain, slope
        self.conditions: list[dict[str, float]] = []

    def sample(self, condition: Mapping[str, float]) -> torch.Tensor:
        self.conditions.append(dict(condition))
        return torch.tensor([self.gain * condition[name] ** self.slope for name in sorted(condition)])

    def search(self, rounds: int, tolerance: float = 0.02, **targets_ml: float) -> dict[str, float]:
        names = sorted(targets_ml)
        search = VolumeSearch(targets_ml, tolerance, rounds)
        while not search.done:
            label = self.sample(search.aims_ml)
            search.observe(label, dict(zip(names, label.tolist(), strict=True)))
        return dict(zip(names, search.best.tolist(), strict=True))


@pytest.mark.parametrize(("gain", "slope"), [(0.05, 1.8), (1.6, 0.9), (2.0, 0.7)])
def test_a_few_rounds_reach_the_volume_whatever_the_response(gain: float, slope: float) -> None:
    assert Response(gain, slope).search(4, ventricles=40.0)["ventricles"] == pytest.approx(40.0, rel=0.03)


def test_the_search_ends_as_soon_as_the_volume_is_met() -> None:
    response = Response(1.01, 1.0)
    response.search(5, ventricles=40.0)
    assert len(response.conditions) == 1


def test_without_rounds_the_first_sample_is_taken_as_it_is() -> None:
    response = Response(0.5, 1.0)
    assert response.search(0, ventricles=40.0)["ventricles"] == pytest.approx(20.0)
    assert len(response.conditions) == 1


def test_controls_are_searched_side_by_side() -> None:
    found = Response(1.2, 1.0).search(4, ventricles=40.0, brain=1200.0)
    assert found["ventricles"] == pytest.approx(40.0, rel=0.03)
    assert found["brain"] == pytest.approx(1200.0, rel=0.03)


def test_an_aim_makes_no_endless_detour_and_the_nearest_sample_is_given() -> None:
    response = Response(0.1, 1.0)
    found = response.search(6, ventricles=100.0)
    assert len(response.conditions) == 2
    assert response.conditions[1]["ventricles"] == pytest.approx(100.0 * math.e)
    assert found["ventricles"] == pytest.approx(10.0 * math.e)


def test_without_targets_there_is_one_sample() -> None:
    response = Response(1.0, 1.0)
    response.search(3)
    assert len(response.conditions) == 1


def test_controls_that_share_a_volume_are_searched_together() -> None:
    def volumes_ml(label: torch.Tensor) -> dict[str, float]:
        left, right = label.tolist()
        return {"left": left, "both": left + right}

    def sample(condition: Mapping[str, float]) -> torch.Tensor:
        left = 0.8 * condition["left"]
        return torch.tensor([left, 1.2 * max(condition["both"] - condition["left"], 1.0)])

    targets = {"left": 20.0, "both": 50.0}
    search = VolumeSearch(targets, tolerance=0.02, rounds=12)
    while not search.done:
        label = sample(search.aims_ml)
        search.observe(label, volumes_ml(label))
    realised = volumes_ml(search.best)
    for name, target in targets.items():
        assert realised[name] == pytest.approx(target, rel=0.02)
