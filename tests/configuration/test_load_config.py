from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.configuration import InvalidConfigurationError, allowed, config_to_dict, load_config
from synthaug.errors import BoundsError, ConfigurationError, SynthAugError
from synthaug.schedules import MixSchedule, VolumeSchedule, parse_mix, parse_schedule


@dataclass(frozen=True)
class Quality:
    tolerance: float = field(default=0.25, metadata=allowed(low=0))
    attempts: int = field(default=4, metadata=allowed(low=1, high=9))

    def __post_init__(self) -> None:
        if self.tolerance > self.attempts:
            raise BoundsError("tolerance is above attempts")


@dataclass(frozen=True)
class Run:
    name: str
    folder: Path = Path("out")
    rate: float = field(default=1e-3, metadata=allowed(above=0, below=1))
    mode: Literal["replace", "append"] = "replace"
    fast: bool = False
    shape: tuple[int, int, int] = (4, 5, 6)
    channels: tuple[str, ...] = ("T1",)
    limits: dict[str, tuple[float, float]] = field(default_factory=dict, metadata=allowed(low=0))
    device: str | None = None
    workers: int | None = None
    seed: int | str = 0
    ratio: MixSchedule = field(default=parse_mix(0.5), metadata=allowed(parse=parse_mix, help="a share or a preset"))
    schedule: VolumeSchedule | None = field(default=None, metadata=allowed(parse=parse_schedule))
    quality: Quality = field(default_factory=Quality)
    strict: Quality | None = None
    options: dict[str, Any] = field(default_factory=dict)
    colour: str = field(default="red", metadata=allowed(choices=("red", "green")))


def problems(mapping: Any = None, **more: Any) -> dict[str, str]:
    with pytest.raises(InvalidConfigurationError) as caught:
        load_config(Run, {"name": "a"} if mapping is None else mapping, **more)
    return {one.path: str(one) for one in caught.value.problems}


def test_defaults_mapping_environment_and_overrides_win_in_this_order() -> None:
    run = load_config(
        Run,
        {"name": "json", "mode": "append", "rate": 0.1, "quality": {"attempts": 2, "tolerance": 1}},
        environment={"SYNTHAUG_NAME": "environment", "SYNTHAUG_RATE": "0.2", "SYNTHAUG_QUALITY__ATTEMPTS": "3"},
        overrides={"name": "override", "quality.attempts": 5},
    )
    assert (run.name, run.mode, run.rate, run.fast) == ("override", "append", 0.2, False)
    assert run.quality == Quality(1.0, 5)


def test_the_given_mapping_stays_as_it_is() -> None:
    mapping: dict[str, Any] = {"name": "a", "quality": {"attempts": 2}}
    load_config(Run, mapping, overrides={"quality.attempts": "5"})
    assert mapping == {"name": "a", "quality": {"attempts": 2}}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("FOLDER", "a/b", Path("a/b")),
        ("FAST", "yes", True),
        ("FAST", "0", False),
        ("SHAPE", "1,2,3", (1, 2, 3)),
        ("SHAPE", "[1, 2, 3]", (1, 2, 3)),
        ("CHANNELS", "T1,T2", ("T1", "T2")),
        ("CHANNELS", "", ()),
        ("LIMITS", '{"a": [1, 2]}', {"a": (1.0, 2.0)}),
        ("LIMITS__A", "1,2", {"a": (1.0, 2.0)}),
        ("OPTIONS", "steps=8,name=x", {"steps": 8, "name": "x"}),
        ("WORKERS", "none", None),
        ("WORKERS", "3", 3),
        ("DEVICE", "cuda", "cuda"),
        ("DEVICE", "null", None),
        ("SEED", "7", 7),
        ("SEED", "random", "random"),
        ("RATE", ".5", 0.5),
        ("RATIO", "mixed:0.2", parse_mix("mixed:0.2")),
        ("SCHEDULE", "uniform:20:120", parse_schedule("uniform:20:120")),
        ("SCHEDULE", "none", None),
        ("QUALITY", "attempts=2,tolerance=0.5", Quality(0.5, 2)),
        ("STRICT__ATTEMPTS", "2", Quality(attempts=2)),
    ],
)
def test_texts_are_read_by_type(key: str, text: str, value: Any) -> None:
    run = load_config(Run, {"name": "a"}, environment={f"SYNTHAUG_{key}": text})
    found = getattr(run, key.split("__")[0].lower())
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate", True),
        ("rate", "0.1"),
        ("rate", float("nan")),
        ("rate", 0),
        ("rate", 1),
        ("workers", True),
        ("workers", 2.0),
        ("fast", 1),
        ("fast", "true"),
        ("name", 3),
        ("name", None),
        ("folder", 3),
        ("mode", "replaced"),
        ("shape", [1, 2]),
        ("shape", "1,2,3"),
        ("channels", "T1"),
        ("limits", [1]),
        ("quality", 3),
        ("ratio", 1.5),
        ("colour", "blue"),
        ("options", []),
    ],
)
def test_json_values_of_another_type_are_refused(key: str, value: Any) -> None:
    found = problems({"name": "a", key: value})
    assert list(found) == [key]
    assert " is " in found[key]
    assert "allowed" in found[key]


def test_a_whole_number_is_a_real_one_and_stays_exact() -> None:
    assert load_config(Quality, {"tolerance": 1}) == Quality(1.0)
    with pytest.raises(InvalidConfigurationError, match="tolerance is 1000"):
        load_config(Quality, {"tolerance": 10**400})


def test_all_mistakes_are_reported_together() -> None:
    found = problems(
        {
            "rate": 2,
            "moed": "append",
            "quality": {"attempts": 0, "tolerence": 1},
            "limits": {"v": [1, -2]},
            "shape": [1, "b", 3],
        },
        environment={"SYNTHAUG_FAST": "maybe", "SYNTHAUG_RATOI": "0.3"},
        overrides={"strict.attempts": "many"},
    )
    assert found == {
        "SYNTHAUG_RATOI": found["SYNTHAUG_RATOI"],
        "name": "name is missing; allowed: a text",
        "rate": "rate is 2; allowed: a finite number, above 0, below 1",
        "moed": found["moed"],
        "quality.attempts": "quality.attempts is 0; allowed: a whole number, from 1 to 9",
        "quality.tolerence": found["quality.tolerence"],
        "limits.v[1]": "limits.v[1] is -2; allowed: a finite number, 0 or more",
        "shape[1]": "shape[1] is 'b'; allowed: a whole number",
        "fast": "fast is 'maybe' (from SYNTHAUG_FAST); allowed: true or false",
        "strict.attempts": "strict.attempts is 'many' (from --strict.attempts); allowed: a whole number, from 1 to 9",
    }
    assert "did you mean 'SYNTHAUG_RATIO'" in found["SYNTHAUG_RATOI"]
    assert "did you mean 'mode'" in found["moed"]
    assert found["quality.tolerence"].endswith(
        ": unknown key (did you mean 'tolerance'?); allowed: tolerance, attempts"
    )


def test_the_error_is_one_line_that_names_its_place_and_can_travel_between_processes() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_config(Run, {"rate": 2, "x": 1}, where="run.json")
    assert str(caught.value).startswith("run.json: 3 mistakes: ")
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_what_only_the_whole_can_check_is_reported_with_its_path_beside_unknown_keys() -> None:
    found = problems({"name": "a", "quality": {"tolerance": 5, "x": 1}})
    assert list(found) == ["quality.x", "quality"]
    assert "tolerance is above attempts" in found["quality"]


def test_choices_and_literals_suggest_the_nearest() -> None:
    found = problems({"name": "a", "mode": "replcae", "colour": "gren"})
    assert "'replcae' (did you mean 'replace'?); allowed: 'replace' or 'append'" in found["mode"]
    assert "(did you mean 'green'?); allowed: 'red' or 'green'" in found["colour"]


def test_variables_of_others_are_left_alone_and_slips_are_not() -> None:
    others = {"SYNTHAUG_NO_AUTODISCOVERY": "1", "HOME": "/", "RATIO": "3", "SYNTHAUG_NAMES": "x"}
    assert load_config(Run, {"name": "a"}, environment=others, ignore=["SYNTHAUG_NAMES"]).name == "a"
    assert (
        "'SYNTHAUG_QUALITY__ATTEMPTS'"
        in problems(environment={"SYNTHAUG_QUALITY_ATTEMPTS": "2"})["SYNTHAUG_QUALITY_ATTEMPTS"]
    )
    assert "did you mean 'attempts'" in problems(environment={"SYNTHAUG_QUALITY__ATEMPTS": "2"})["quality.atempts"]


def test_an_override_that_is_none_was_not_given() -> None:
    assert load_config(Run, {"name": "a"}, overrides={"name": None, "rate": 0.5}).rate == 0.5


def test_a_file_is_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"name": "a", "rate": 0.5}))
    assert load_config(Run, path).rate == 0.5
    for content, reason in (("{", "not JSON"), ("3", "holds int"), ('{"nmae": 1}', "nmae is 1: unknown key")):
        path.write_text(content)
        with pytest.raises(ConfigurationError, match=f"run.json: .*{reason}"):
            load_config(Run, path)
    with pytest.raises(SynthAugError, match=r"nowhere.json: cannot be read"):
        load_config(Run, tmp_path / "nowhere.json")


def test_a_list_is_no_configuration() -> None:
    with pytest.raises(ConfigurationError, match="the whole is \\[\\]"):
        load_config(Run, [])  # type: ignore[arg-type]


@given(
    st.builds(
        Run,
        name=st.text(),
        rate=st.floats(1e-6, 0.999),
        mode=st.sampled_from(["replace", "append"]),
        fast=st.booleans(),
        shape=st.tuples(*[st.integers()] * 3),
        channels=st.lists(st.text()).map(tuple),
        limits=st.dictionaries(st.text(), st.tuples(*[st.floats(0, 1e6)] * 2)),
        device=st.none() | st.text(),
        workers=st.none() | st.integers(),
        seed=st.integers() | st.text(),
        ratio=st.floats(0, 1).map(parse_mix),
        schedule=st.none()
        | st.floats(1, 2).map(lambda low: parse_schedule({"kind": "uniform", "low_ml": low, "high_ml": 9})),
        quality=st.builds(Quality, tolerance=st.floats(0, 1), attempts=st.integers(1, 9)),
        strict=st.none() | st.builds(Quality, tolerance=st.floats(0, 1)),
        options=st.dictionaries(st.text(), st.none() | st.integers() | st.text()),
    )
)
def test_every_configuration_survives_json(run: Run) -> None:
    assert load_config(Run, json.loads(json.dumps(config_to_dict(run)))) == run


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        config_to_dict(Run("a", options={"x": object()}))
