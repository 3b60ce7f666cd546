"""A case whose ventricles were inflated has the volume asked for, the fluid of its own, and an empty background."""

from __future__ import annotations

import pytest
import torch

from synthaug.fitting.inflated_case import inflate_case
from synthaug.warps.growth import growth_rates
from tests.fitting.small_cases import small_cases
from tests.stand_in_generator import StandInGenerator

SCHEME = StandInGenerator().scheme
VENTRICLES = torch.tensor(SCHEME.resolve("ventricles"))


def volume_ml(label: torch.Tensor) -> float:
    return float(torch.isin(label, VENTRICLES).sum()) * 0.064


@pytest.mark.parametrize("wanted_ml", [40.0, 60.0])
def test_a_case_is_taken_to_a_volume(wanted_ml: float) -> None:
    case = small_cases()[0]
    growth = growth_rates(SCHEME, SCHEME.resolve("ventricles"))
    found = inflate_case(case, wanted_ml, growth, [], spacing_mm=4.0, seed=0)
    assert volume_ml(found.label) == pytest.approx(wanted_ml, rel=0.1)
    assert found.image is not None
    assert case.image is not None
    assert not found.image[:, found.label == 0].any()
    own, filled = (
        one.image[0][torch.isin(one.label, VENTRICLES)].median() for one in (case, found) if one.image is not None
    )
    assert float(filled) == pytest.approx(float(own), abs=0.1)
    assert torch.equal(case.label, small_cases()[0].label)
