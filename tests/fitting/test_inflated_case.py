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
def test_a_case_is_taken_to_a_volume_and_filled_with_its_own_fluid(wanted_ml: float) -> None:
    case = small_cases()[0]
    assert case.image is not None
    own = torch.isin(case.label, VENTRICLES)
    fluid = torch.full((int(own.sum()),), 0.6)
    fluid[::4] = 0.1  # most voxels of a narrow ventricle are mixed with tissue
    case.image[0, own] = fluid
    growth = growth_rates(SCHEME, SCHEME.resolve("ventricles"))
    found = inflate_case(case, wanted_ml, growth, [], spacing_mm=4.0, seed=0)
    assert found.image is not None
    assert volume_ml(found.label) == pytest.approx(wanted_ml, rel=0.1)
    assert not found.image[:, found.label == 0].any()
    assert float(found.image[0][torch.isin(found.label, VENTRICLES)].median()) == pytest.approx(0.1, abs=0.05)
    assert torch.equal(case.label, small_cases()[0].label)
