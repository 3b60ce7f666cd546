"""Growth rates come from the structures' names."""

from __future__ import annotations

from synthaug.labels import LabelScheme
from synthaug.warps.growth import growth_rates


def test_third_and_fourth_ventricles_grow_less_than_the_lateral_ones() -> None:
    scheme = LabelScheme.load("ventricles-t1")
    by_id = growth_rates(scheme, scheme.resolve("ventricles"))
    rates = {name: by_id[scheme.id_of(name)] for name in scheme.groups["ventricles"]}
    assert rates["lateral_ventricle_left"] == rates["lateral_ventricle_right"] == 1
    assert 0 < rates["fourth_ventricle"] < rates["third_ventricle"] < 1


def test_a_structure_on_its_own_sets_the_pace() -> None:
    scheme = LabelScheme.load("ventricles-t1")
    assert set(growth_rates(scheme, scheme.resolve("fourth_ventricle")).values()) == {1.0}
