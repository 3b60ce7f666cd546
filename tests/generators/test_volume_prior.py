"""Volumes that are not asked for go with those that are."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.generators.volume_prior import VolumePrior, members_of
from synthaug.labels import LabelScheme

SCHEME = LabelScheme.load("ventricles-t1")
PARTS = ("lateral_ventricle_left", "lateral_ventricle_right", "third_ventricle", "fourth_ventricle")
CONTROLS = ("ventricles", *PARTS, "brain")
LIMITS = dict.fromkeys(CONTROLS, (0.01, 3000.0))


@pytest.fixture(scope="module")
def prior() -> VolumePrior:
    """Heads whose ventricles differ by a factor, left and right ones a little, and whose brains go their own way."""
    rng = np.random.default_rng(0)
    size = np.exp(rng.normal(0, 0.8, 400))
    parts = np.stack([share * size * np.exp(rng.normal(0, 0.1, 400)) for share in (14.0, 13.0, 1.2, 1.8)], axis=1)
    brain = 1200 * np.exp(rng.normal(0, 0.1, 400))
    return VolumePrior.of(np.column_stack([parts.sum(1), parts, brain]))


def test_large_ventricles_have_large_parts_that_add_up(prior: VolumePrior) -> None:
    for target in (10.0, 100.0):
        found = prior.complete({"ventricles": target}, LIMITS, SCHEME, np.random.default_rng(1))
        assert list(found) == list(CONTROLS)
        assert found["ventricles"] == target
        assert sum(found[name] for name in PARTS) == pytest.approx(target)
        assert found["third_ventricle"] == pytest.approx(target * 1.2 / 30, rel=0.4)
        assert found["brain"] == pytest.approx(1200, rel=0.4)


def test_parts_that_are_asked_for_are_kept_and_the_whole_is_their_sum(prior: VolumePrior) -> None:
    asked = {"lateral_ventricle_left": 40.0, "third_ventricle": 3.0}
    found = prior.complete(asked, LIMITS, SCHEME, np.random.default_rng(2))
    assert {name: found[name] for name in asked} == asked
    assert found["ventricles"] == pytest.approx(sum(found[name] for name in PARTS))
    assert found["lateral_ventricle_right"] == pytest.approx(37, rel=0.5)
    both = prior.complete({"ventricles": 90.0, **asked}, LIMITS, SCHEME, np.random.default_rng(2))
    assert both["lateral_ventricle_left"] == 40.0
    assert sum(both[name] for name in PARTS) == pytest.approx(90.0)


def test_draws_differ_are_reproducible_and_stay_within_limits(prior: VolumePrior) -> None:
    draws = [prior.complete({}, LIMITS, SCHEME, np.random.default_rng(seed))["brain"] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    narrow = {**LIMITS, "brain": (1000.0, 1001.0)}
    found = prior.complete({"ventricles": 30.0}, narrow, SCHEME, np.random.default_rng(3))
    assert 1000.0 <= found["brain"] <= 1001.0


def test_everything_given_is_left_as_it_is(prior: VolumePrior) -> None:
    asked = dict.fromkeys(CONTROLS, 20.0)
    assert prior.complete(asked, LIMITS, SCHEME, np.random.default_rng(4)) == asked


def test_members_make_up_a_group_only_where_all_are_controls() -> None:
    assert members_of("ventricles", CONTROLS, SCHEME) == list(PARTS)
    assert members_of("ventricles", CONTROLS[:3], SCHEME) == []
    assert members_of("third_ventricle", CONTROLS, SCHEME) == []
