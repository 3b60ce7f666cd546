import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.conditions import Condition, VolumeBounds
from synthaug.errors import BoundsError, ConfigurationError

TARGETS = st.dictionaries(st.text('ab_=;:", ', max_size=8), st.floats(0, 1e4), max_size=4)


@settings(deadline=None)
@given(TARGETS, st.booleans())
def test_a_condition_survives_json_and_pickle(targets: dict[str, float], extrapolate: bool) -> None:
    condition = Condition(targets, extrapolate)
    assert Condition.from_dict(json.loads(json.dumps(condition.to_dict()))) == condition
    assert pickle.loads(pickle.dumps(condition)) == condition


@settings(deadline=None)
@given(TARGETS)
def test_the_key_does_not_depend_on_order(targets: dict[str, float]) -> None:
    turned = Condition(dict(reversed(targets.items())))
    assert Condition(targets).key() == turned.key()
    assert hash(Condition(targets)) == hash(turned)


@settings(deadline=None)
@given(TARGETS, TARGETS)
def test_keys_are_equal_only_where_targets_are(one: dict[str, float], other: dict[str, float]) -> None:
    assert (Condition(one).key() == Condition(other).key()) == (one == other)


def test_the_key_tells_volumes_and_structures_apart_but_not_int_from_float() -> None:
    keys = {Condition(one).key() for one in ({"a": 1.0}, {"a": 1.0000001}, {"b": 1.0}, {"a": 1.0, "b": 1.0}, {})}
    assert len(keys) == 5
    assert Condition({"a": 1}).key() == Condition({"a": 1.0}).key()
    assert Condition({"a": 1}, extrapolate=True).key() == Condition({"a": 1}).key()


@pytest.mark.parametrize("volume_ml", [-1, float("nan"), float("inf"), "many", None])
def test_a_target_that_is_no_volume_is_refused(volume_ml) -> None:
    with pytest.raises(BoundsError, match=r"target ventricles=.*; allowed: a volume in mL, 0 or more"):
        Condition({"ventricles": volume_ml})


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ({}, "targets_ml"),
        ({"targets_ml": {}, "seed": 1}, "seed"),
        ({"targets_ml": {}, "extrapolate": "no"}, "extrapolate"),
    ],
)
def test_a_dictionary_of_another_form_is_refused(content, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=f"condition: {wrong} is wrong"):
        Condition.from_dict(content)


def test_bounds_allow_both_ends_and_refuse_what_lies_beyond() -> None:
    bounds = VolumeBounds({"ventricles": (5, 150)})
    bounds.check(Condition({"ventricles": 5}))
    bounds.check(Condition({"ventricles": 150}))
    bounds.check(Condition({}))
    for volume_ml in (4.99, 150.01):
        with pytest.raises(BoundsError, match=rf"ventricles={volume_ml} mL is out of bounds; allowed: 5 to 150 mL"):
            bounds.check(Condition({"ventricles": volume_ml}))


def test_extrapolation_is_by_name_and_only_for_volumes() -> None:
    bounds = VolumeBounds({"ventricles": (5, 150)})
    bounds.check(Condition({"ventricles": 300}, extrapolate=True))
    with pytest.raises(BoundsError, match=r"no target for 'ventrikles' \(did you mean 'ventricles'\?\)"):
        bounds.check(Condition({"ventrikles": 30}, extrapolate=True))


def test_bounds_survive_json() -> None:
    bounds = VolumeBounds({"ventricles": (5, 150), "thalamus": (3.5, 20)})
    assert VolumeBounds.from_dict(json.loads(json.dumps(bounds.to_dict()))) == bounds
    assert bounds.describe() == "ventricles 5 to 150 mL, thalamus 3.5 to 20 mL"


@pytest.mark.parametrize("limits", [(3, 2), (-1, 2), (1,), 5, (1, float("inf")), ("a", "b")])
def test_limits_that_are_none_are_refused(limits) -> None:
    with pytest.raises(BoundsError, match="bounds of 'ventricles'"):
        VolumeBounds({"ventricles": limits})


@pytest.mark.parametrize("targets", [None, 40.0, [("ventricles", 40.0)]])
def test_targets_that_are_no_dictionary_are_refused(targets: object) -> None:
    with pytest.raises(ConfigurationError, match="by name"):
        Condition(targets)  # type: ignore[arg-type]
