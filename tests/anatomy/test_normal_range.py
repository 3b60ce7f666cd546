"""The range of real brains, and what lies out of it."""

from __future__ import annotations

import json
import math

import pytest

from synthaug.anatomy import NormalRange, StructureMeasures
from synthaug.anatomy.normal_range import log_ventricles, ventricle_ids
from synthaug.labels import LabelScheme

SCHEME = LabelScheme.load("ventricles-t1")


def brain(size_ml: float, thalamus_ml: float = 14.0, touching: float = 0.05) -> StructureMeasures:
    """Four equal ventricles, one contact that matters, and all else alike."""
    parts = SCHEME.groups["ventricles"]
    volumes = {name: size_ml / 4 if name in parts else 100.0 for name in SCHEME.names}
    contacts = {(one, other): 0.1 for one in SCHEME.names for other in ("background", *SCHEME.names) if one != other}
    return StructureMeasures(
        {**volumes, "thalamus": thalamus_ml}, (), {**contacts, ("thalamus", "lateral_ventricle_left"): touching}
    )


REAL = [brain(size, 14 * share, 0.02 * math.log(size)) for size, share in ((10, 1.0), (20, 1.1), (40, 0.95), (80, 1.0))]


def out_of_range(known: NormalRange, found: StructureMeasures) -> list[str]:
    return [what for what, excess in known.excesses(found, SCHEME) if excess > 1]


def test_what_is_out_of_range_depends_on_the_size_of_the_ventricles() -> None:
    known = NormalRange.of(REAL, SCHEME)
    assert all(out_of_range(known, one) == [] for one in REAL)
    usual = 0.02 * math.log(160)
    assert out_of_range(known, brain(160, touching=usual)) == []
    assert out_of_range(known, brain(10, touching=usual)) == ["contact of thalamus with lateral_ventricle_left"]
    assert out_of_range(known, brain(160, 40.0, usual)) == ["volume of thalamus"]


def test_a_structure_that_one_brain_lacks_is_not_looked_at() -> None:
    without = StructureMeasures({**REAL[0].volumes_ml, "thalamus": 0.0}, ("thalamus",), REAL[0].contacts)
    known = NormalRange.of([*REAL, without], SCHEME)
    assert "thalamus" not in known.volumes
    assert not any(name == "thalamus" for name, _ in known.contacts)
    assert ("basal_ganglia", "thalamus") in known.contacts
    assert out_of_range(NormalRange.of(REAL, SCHEME), without) == []


def test_the_json_form_keeps_what_is_in_range() -> None:
    known = NormalRange.of(REAL, SCHEME)
    read = NormalRange.from_dict(json.loads(json.dumps(known.to_dict())))
    assert read.to_dict() == known.to_dict()
    assert read.volumes["thalamus"].reach == pytest.approx(known.volumes["thalamus"].reach, abs=1e-4)
    assert out_of_range(read, brain(10, touching=0.2)) == ["contact of thalamus with lateral_ventricle_left"]


def test_a_scheme_without_ventricles_has_constant_ranges() -> None:
    scheme = LabelScheme.from_dict({**SCHEME.to_dict(), "groups": {}})
    assert {trend.slope for trend in NormalRange.of(REAL, scheme).contacts.values()} == {0.0}


def test_ventricles_may_be_one_structure() -> None:
    scheme = LabelScheme.from_nnunet({"labels": {"background": 0, "ventricles": 1, "white matter": 2}}, "two")
    assert ventricle_ids(scheme) == (1,)
    assert log_ventricles(StructureMeasures({"ventricles": 20.0, "white matter": 500.0}, (), {}), scheme) == math.log(
        20
    )


def test_a_brain_without_ventricles_says_nothing_of_their_size() -> None:
    empty = dict.fromkeys(SCHEME.groups["ventricles"], 0.0)
    without = StructureMeasures({**REAL[0].volumes_ml, **empty}, tuple(empty), REAL[0].contacts)
    assert NormalRange.of([*REAL, without], SCHEME).to_dict() == NormalRange.of(REAL, SCHEME).to_dict()
    with pytest.raises(ValueError, match="no brain with ventricles"):
        NormalRange.of([without], SCHEME)
