import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.errors import BoundsError, ConfigurationError, SynthAugError
from synthaug.schedules import PRESETS, MixSchedule, parse_mix

PROGRESS = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize(
    ("value", "fractions"),
    [
        ("real", [0, 0, 0, 0, 0]),
        ("synthetic", [1, 1, 1, 1, 1]),
        ("mixed", [0.5] * 5),
        ("mixed:0.2", [0.2] * 5),
        (0.5, [0.5] * 5),
        (0, [0] * 5),
        (1, [1] * 5),
        ("0.3", [0.3] * 5),
        ("synthetic-then-real", [1, 1, 0, 0, 0]),
        ("synthetic-then-real:0.7", [1, 1, 1, 0, 0]),
        ("mixed-then-real", [0.5, 0.5, 0, 0, 0]),
        ("mixed-then-real:0.3:0.75", [0.3, 0.3, 0.3, 0, 0]),
        ({"stages": [{"until": 0.5, "fraction": 0.1}, {"until": 1, "fraction": 0.9}]}, [0.1, 0.1, 0.9, 0.9, 0.9]),
    ],
)
def test_strategies_have_their_shares(value, fractions: list[float]) -> None:
    mix = parse_mix(value)
    assert [mix.fraction(progress) for progress in PROGRESS] == fractions
    assert parse_mix(json.loads(json.dumps(mix.to_dict()))) == mix
    assert parse_mix(mix) is mix


def test_every_preset_can_be_asked_for_by_its_name_alone() -> None:
    assert set(PRESETS) == {"real", "synthetic", "mixed", "synthetic-then-real", "mixed-then-real"}
    assert [parse_mix(preset).is_constant for preset in PRESETS] == [True, True, True, False, False]


@given(st.floats(0, 1), st.floats(0.01, 0.99), st.floats(0, 1))
def test_the_share_is_always_between_0_and_1(fraction: float, switch: float, progress: float) -> None:
    mix = parse_mix(f"mixed-then-real:{fraction}:{switch}")
    assert mix.fraction(progress) == (fraction if progress < switch else 0)


@pytest.mark.parametrize(
    "value", [1.5, -0.1, "2", "mixed:1.01", float("nan"), {"stages": [{"until": 1, "fraction": 2}]}]
)
def test_a_share_outside_0_to_1_is_refused(value) -> None:
    with pytest.raises(BoundsError, match=r"0 .real only. to 1 .synthetic only."):
        parse_mix(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("synthetic-than-real", "did you mean 'synthetic-then-real'"),
        ("mixed:a", "allowed: a share from 0 to 1, or real"),
        ("real:0.5", "allowed"),
        ("mixed:0.5:0.5", "allowed"),
        ("mixed:nan", "allowed"),
        (True, "ratio True"),
        (None, "ratio None"),
        ({"fraction": 1}, "fraction, stages is wrong"),
    ],
)
def test_what_is_no_strategy_is_refused(value, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        parse_mix(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["synthetic-then-real:0", "synthetic-then-real:1", "mixed-then-real:0.5:1.2"])
def test_a_switch_at_the_ends_is_refused(text: str) -> None:
    with pytest.raises(BoundsError, match="above 0 and below 1"):
        parse_mix(text)


def test_stages_have_to_lead_to_the_end_of_training() -> None:
    for stages in ((), ((0.5, 0.1),), ((0.6, 0.1), (0.5, 0.2), (1, 0.3))):
        with pytest.raises(BoundsError, match="stages end at"):
            MixSchedule(stages)
    with pytest.raises(SynthAugError, match="progress is 2"):
        parse_mix("real").fraction(2)
