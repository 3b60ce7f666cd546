"""Conditions on cases: what they mean, and that none of them is ever run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.labels import LabelScheme
from synthaug.labels.structure import Structure
from synthaug.store import CaseEntry
from synthaug.store.predicate import Predicate

SCHEME = LabelScheme.load("ventricles-t1")
ENTRY = CaseEntry(
    "sa01", {"ventricles": 130.0, "thalamus": 15.0, "third_ventricle": 2.0}, {"ventricles": 120.0}, 7, attempts=4
)
RECORD: dict[str, Any] = {"pair": {"generator": "stand-in", "generator_sha256": "abcdef0123", "seconds": 2.5}}


def holds(text: str) -> bool:
    return Predicate.parse(text, SCHEME).holds(ENTRY, RECORD)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ventricles>120", True),
        ("ventricles > 130", False),
        ("ventricles>=130", True),
        ("requested ventricles=120", True),
        ("realised thalamus<20", True),
        ("attempts>3", True),
        ("attempts!=4", False),
        ("seed=7", True),
        ("realised error>5%", True),
        ("realised error>0.1", False),
        ("realised error<=8.4%", True),
        ("seconds>2", True),
        ("generator=stand-in", True),
        ("generator='stand-in'", True),
        ("generator=abcdef", True),
        ("generator!=abcdef01", False),
        ("generator=abc", False),  # too few digits to mean a sha256
        ('name="sa01"', True),
        ("ventricles>120 and attempts>9", False),
        ("ventricles>200 or attempts>3 and seed=7", True),
        ("(ventricles>200 or attempts>3) and seed=8", False),
        ("not ventricles>200", True),
        ("not (ventricles>120 and not seed=8)", False),
        ("csf>0", False),  # the entry has no such volume
        ("requested thalamus<100", False),
    ],
)
def test_a_condition_means_what_it_says(text: str, expected: bool) -> None:
    assert holds(text) is expected


def test_a_structure_with_blanks_and_reserved_words_is_quoted() -> None:
    scheme = LabelScheme("own", (Structure("Left and right (both)", 1),))
    entry = CaseEntry("a", {"Left and right (both)": 3.0}, {}, 0)
    assert Predicate.parse('"Left and right (both)" > 2', scheme).holds(entry, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("ventricle>120", "did you mean 'ventricles'"),
        ("ventricles", "is expected"),
        ("ventricles>", "a value is expected"),
        ("ventricles>abc", "a number is expected"),
        ("ventricles>nan", "a number is expected"),
        ("ventricles>5%", "a number is expected"),
        ("(ventricles>5", "missing"),
        ("ventricles>5 attempts>3", "left over"),
        ("ventricles>5 and", "is expected"),
        ("generator>stand-in", "only = and !="),
        ("ventricles>5 'open", "cannot be read"),
        ("__import__('os').system('true')=1", "--where"),
        ("(" * 200 + "attempts>1" + ")" * 200, "within each other"),
        ("not " * 200 + "attempts>1", "within each other"),
        ("a" * 3000, "shorten it"),
    ],
)
def test_a_mistake_is_one_line_with_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as error:
        Predicate.parse(text, SCHEME)
    assert "\n" not in str(error.value)


@given(st.text(alphabet=st.sampled_from("ventricles attempts>3 and or not()=<!%\"'5._x\n"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        answer = holds(text)
    except SynthAugError:
        return
    assert answer in (True, False)


def test_the_record_is_asked_for_only_where_it_is_needed() -> None:
    assert not Predicate.parse("ventricles>1 and attempts>1", SCHEME).needs_record
    assert Predicate.parse("ventricles>1 and generator=x", SCHEME).needs_record
