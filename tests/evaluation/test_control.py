"""Volume control: the figures are those of textbook regression, and the pairs are those that sampling gives."""

from __future__ import annotations

import numpy as np
import pytest

from synthaug.errors import BoundsError, ConfigurationError, LabelError
from synthaug.evaluation.control import (
    ControlPoint,
    ControlReport,
    plan_control,
    sample_control,
    spread_indices,
)
from synthaug.precomputing.requests import request_seed
from synthaug.schedules import parse_schedule
from tests.stand_in_generator import StandInGenerator


def report(requested: list[float], realised: list[float]) -> ControlReport:
    points = [ControlPoint(str(i), x, y) for i, (x, y) in enumerate(zip(requested, realised, strict=True))]
    return ControlReport("ventricles", tuple(points))


def test_perfect_control() -> None:
    facts = report([10, 20, 40], [10, 20, 40]).to_dict()
    for name in ("slope_through_origin", "slope", "r_squared", "r_squared_identity"):
        assert facts[name] == pytest.approx(1)
    assert facts["intercept_ml"] == pytest.approx(0, abs=1e-9)
    assert facts["mae_ml"] == facts["mae_percent"] == facts["largest_error_percent"] == 0


def test_figures_agree_with_numpy_on_noisy_volumes() -> None:
    rng = np.random.default_rng(0)
    requested = rng.uniform(8, 120, 30)
    realised = 0.9 * requested + 3 + rng.normal(0, 4, 30)
    facts = report(requested.tolist(), realised.tolist()).to_dict()
    slope, intercept = np.polyfit(requested, realised, 1)
    assert (facts["slope"], facts["intercept_ml"]) == pytest.approx((slope, intercept))
    assert facts["r_squared"] == pytest.approx(np.corrcoef(requested, realised)[0, 1] ** 2)
    through_origin = np.linalg.lstsq(requested[:, None], realised, rcond=None)[0][0]
    assert facts["slope_through_origin"] == pytest.approx(through_origin)
    assert facts["mae_ml"] == pytest.approx(np.abs(realised - requested).mean())
    assert facts["bias_percent"] == pytest.approx((100 * (realised - requested) / requested).mean())


def test_a_proportional_error_shows_against_the_identity_only() -> None:
    facts = report([10, 20, 40, 80], [12, 24, 48, 96]).to_dict()
    assert facts["r_squared"] == pytest.approx(1)
    assert facts["r_squared_identity"] < 0.98
    assert facts["slope_through_origin"] == pytest.approx(1.2)
    assert (facts["mae_percent"], facts["bias_percent"]) == pytest.approx((20, 20))


def test_one_target_has_no_line_but_errors() -> None:
    facts = report([40, 40], [38, 44]).to_dict()
    assert facts["slope"] is None
    assert facts["r_squared"] is None
    assert facts["mae_ml"] == pytest.approx(3)


def test_no_pair_and_a_target_of_nothing_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no pair"):
        ControlReport("ventricles", ())
    with pytest.raises(ConfigurationError, match="0 mL"):
        report([0, 10], [1, 10])


def test_pairs_are_sampled_once_each_with_the_seeds_of_sampling() -> None:
    generator = StandInGenerator()
    requests = plan_control(generator, parse_schedule("log-uniform:8:120"), num=4, seed=3)
    assert [request.seed for request in requests] == [request_seed(3, index) for index in range(4)]
    made = list(sample_control(generator, requests))
    assert [seed for _, seed in generator.calls] == [request.seed for request in requests]
    for (point, pair), request in zip(made, requests, strict=True):
        assert point.requested_ml == request.condition.targets_ml["ventricles"]
        assert point.realised_ml == pair.volumes_ml()["ventricles"]
        assert point.failures == ()


def test_a_pair_that_quality_control_would_reject_is_kept_and_noted() -> None:
    class Careless(StandInGenerator):
        def generate(self, conditions, seeds):
            (pair,) = super().generate(conditions, seeds)
            pair.label[pair.label == pair.scheme.id_of("thalamus")] = 0
            return [pair]

    generator = Careless()
    requests = plan_control(generator, parse_schedule("constant:40"), num=2, seed=0)
    points = [point for point, _ in sample_control(generator, requests)]
    facts = ControlReport("ventricles", tuple(points)).to_dict()
    assert facts["count"] == facts["would_be_rejected"] == 2
    assert facts["reject_reasons"]["missing-structure"] == 2


def test_what_the_generator_cannot_be_asked_for_is_refused_before_sampling() -> None:
    generator = StandInGenerator()
    with pytest.raises(BoundsError):
        plan_control(generator, parse_schedule("uniform:20:900"), num=8, seed=0)
    with pytest.raises(LabelError):
        plan_control(generator, parse_schedule("ventrikles=uniform:20:90"), num=2, seed=0)
    assert generator.calls == []


def test_pictures_show_pairs_spread_over_the_targets() -> None:
    values = [5.0, 100.0, 50.0, 20.0, 70.0]
    assert spread_indices(values, 3) == [0, 2, 1]
    assert sorted(spread_indices(values, 9)) == [0, 1, 2, 3, 4]
