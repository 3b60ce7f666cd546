"""Whatever texts and JSON values come from a command line or a file, they are read or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.cli.generator_options import sampling_options
from synthaug.cli.sample import parse_targets
from synthaug.configuration import load_config
from synthaug.errors import SynthAugError
from synthaug.files.parsed_json import parse_json
from synthaug.files.plain_name import is_plain_name
from synthaug.integrations.nnunet.run_configuration import RunConfiguration
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.mistakes import one_line
from synthaug.schedules import parse_mix, parse_schedule
from synthaug.store.case import CaseEntry
from synthaug.store.record import parse_record
from synthaug.study.configuration import StudyConfig

NUMBERS = st.integers() | st.floats() | st.sampled_from([10**30, -1, 0, 1e308])
NAMES = st.sampled_from(
    ["kind", "uniform", "low_ml", "structures", "name", "id", "groups", "labels", "table", "source", "target", "stages",
     "until", "schedule", "volumes_ml", "ratio", "mix", "live", "dataset", "seeds", "generators", "steps", "seed",
     "realised_ml", "requested_ml", "ventricles", "../x", "", "a:b", "1e9"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | NAMES | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
WORDS = st.text("uniformcstalg-e:=.,0123456789 {}[]\"'\n\0é", max_size=30) | st.text(max_size=20)


def refusal(read: Callable[[Any], object], value: object) -> str | None:
    """What is said of a value that is refused; None for one that is read."""
    try:
        read(value)
    except SynthAugError as mistake:
        return str(mistake)
    return None


def is_one_line(text: str | None) -> bool:
    return text is None or (bool(text.strip()) and len(one_line(text).splitlines()) == 1)


@pytest.mark.parametrize(
    "read", [parse_schedule, parse_mix, lambda text: parse_targets([text]), lambda text: sampling_options([text])]
)
@settings(max_examples=50, deadline=None)
@given(text=WORDS.filter(lambda text: not text.endswith(".json")))
def test_texts(read: Callable[[str], object], text: str) -> None:
    assert is_one_line(refusal(read, text))


@pytest.mark.parametrize(
    "read",
    [
        parse_schedule,
        LabelScheme.from_dict,
        LabelMapping.from_dict,
        CaseEntry.from_dict,
        lambda tree: load_config(StudyConfig, tree),
        lambda tree: load_config(RunConfiguration, tree),
    ],
)
@settings(max_examples=50, deadline=None)
@given(tree=st.dictionaries(NAMES, VALUES, max_size=6))
def test_objects(read: Callable[[Any], object], tree: dict[str, Any]) -> None:
    assert is_one_line(refusal(read, tree))


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60) | st.text('[]{}":,0129eE+-.naIfity\\ud8 ', max_size=40).map(str.encode))
def test_bytes_are_json_that_can_be_written_again_or_a_value_error(content: bytes) -> None:
    from synthaug.files.canonical_json import canonical_json

    try:
        value = parse_json(content)
    except ValueError:
        return
    assert parse_json(canonical_json(value)) == value


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60))
def test_no_bytes_are_a_record_of_a_case(content: bytes) -> None:
    with pytest.raises(SynthAugError):
        parse_record(content, "case x")


@settings(max_examples=100, deadline=None)
@given(name=st.text(max_size=12))
def test_a_plain_name_stays_in_its_folder(name: str) -> None:
    from pathlib import Path

    if is_plain_name(name):
        assert Path("/folder", name).parent == Path("/folder")
        assert Path("/folder", name).name == name
