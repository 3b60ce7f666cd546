"""Validation cases among a generator's training cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.errors import LeakageError
from synthaug.integrations.nnunet.leakage import find_leaks, refuse_leaks
from synthaug.volumes import CaseRecord

FITTED = [CaseRecord("a", "image-a", "label-a"), CaseRecord("b", None, "label-b")]


@pytest.mark.parametrize(
    ("held_out", "same"),
    [
        (CaseRecord("a", None, None), "identifier"),
        (CaseRecord("a", "other", "other"), "identifier"),
        (CaseRecord("renamed", "image-a", "other"), "image"),
        (CaseRecord("renamed", "other", "label-b"), "label"),
    ],
)
def test_a_case_is_recognised(held_out: CaseRecord, same: str) -> None:
    (leak,) = find_leaks(FITTED, [held_out])
    assert leak.same == same
    assert held_out.identifier in str(leak)


def test_what_is_unknown_is_not_the_same() -> None:
    assert find_leaks([CaseRecord("b", None, None)], [CaseRecord("c", None, None)]) == []
    assert find_leaks(FITTED, [CaseRecord("c", "image-c", "label-c")]) == []


def test_the_refusal_names_cases_and_mend() -> None:
    leaks = find_leaks(FITTED, [CaseRecord(name, "image-a", None) for name in "hijklmn"])
    with pytest.raises(LeakageError) as refused:
        refuse_leaks(leaks, generator="g", cache=Path("C"), dataset="Dataset001_X", fold=2, where=Path("synthaug.json"))
    message = str(refused.value)
    for part in ("C: generator g", "7 validation case(s) of fold 2", "h (same image", "and 2 more", "--fold 2"):
        assert part in message
    refuse_leaks([], generator="g", cache=Path("C"), dataset="Dataset001_X", fold=2, where=Path("synthaug.json"))
