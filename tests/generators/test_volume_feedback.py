"""Feedback brings a response that lags to its aim, and knows when to hold still."""

from __future__ import annotations

import pytest

from synthaug.generators.volume_feedback import LARGEST_STEP, VolumeFeedback

LIMITS = {"ventricles": (5.0, 160.0), "brain": (900.0, 1800.0)}


def realised_after(gain: float, *, steps: int = 12) -> float:
    """Volume of a response that is a third too small and follows its condition by half at each step."""
    feedback = VolumeFeedback({"ventricles": 40.0}, ["ventricles"], LIMITS, gain)
    volume_ml = 25.0
    for _ in range(steps):
        volume_ml = (volume_ml * feedback.condition_ml["ventricles"] / 1.5) ** 0.5
        feedback.observe({"ventricles": volume_ml})
    return volume_ml


def test_what_the_volume_misses_is_corrected_on_the_way() -> None:
    assert realised_after(0.0) == pytest.approx(40 / 1.5, rel=0.01)
    assert realised_after(0.7) == pytest.approx(40.0, rel=0.03)


def test_a_step_is_bounded() -> None:
    feedback = VolumeFeedback({"ventricles": 40.0, "brain": 1000.0}, ["ventricles"], LIMITS, gain=1.0)
    feedback.observe({"ventricles": 0.001})
    assert feedback.condition_ml["ventricles"] == pytest.approx(40.0 * 2.718281828**LARGEST_STEP)
    assert feedback.condition_ml["brain"] == pytest.approx(1000.0)


def test_conditions_stay_within_their_limits() -> None:
    feedback = VolumeFeedback({"ventricles": 150.0, "brain": 1000.0}, LIMITS, LIMITS, gain=1.0)
    for _ in range(5):
        feedback.observe({"ventricles": 90.0, "brain": 1500.0})
    assert feedback.condition_ml == pytest.approx({"ventricles": 160.0, "brain": 900.0})
    beyond = VolumeFeedback({"ventricles": 500.0}, LIMITS, LIMITS, gain=0.0)
    assert beyond.condition_ml == pytest.approx({"ventricles": 160.0})


@pytest.mark.parametrize(
    ("aims_ml", "gain", "active"), [({}, 1.0, False), ({"brain": 1000.0}, 0.0, False), ({"brain": 1000.0}, 0.5, True)]
)
def test_nothing_is_measured_where_nothing_is_corrected(aims_ml: dict[str, float], gain: float, active: bool) -> None:
    feedback = VolumeFeedback(aims_ml, LIMITS, LIMITS, gain)
    assert feedback.active is active
    assert feedback.controls == tuple(aims_ml)
