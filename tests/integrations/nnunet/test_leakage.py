"""The words in which a training is refused that has seen validation cases, or whose generator has."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from synthaug.errors import LeakageError
from synthaug.integrations.nnunet.leakage import find_shared, refuse_fitted, refuse_shared
from synthaug.integrations.nnunet.run_configuration import CaseHashes, Prepared, RunConfiguration
from synthaug.leakage import find_leaks
from synthaug.volumes import CaseRecord


def test_the_refusal_names_cases_and_mend() -> None:
    leaks = find_leaks(
        [CaseRecord("a", "image-a", "label-a")], [CaseRecord(name, "image-a", None) for name in "hijklmn"]
    )
    refuse = partial(
        refuse_fitted, generator="g", cache=Path("C"), dataset="Dataset001_X", fold=2, where=Path("synthaug.json")
    )
    with pytest.raises(LeakageError) as refused:
        refuse(leaks)
    message = str(refused.value)
    for part in ("C: generator g", "7 validation case(s) of fold 2", "h (same image", "and 2 more", "--fold 2"):
        assert part in message
    refuse([])


def test_a_case_in_both_parts_of_a_fold_is_found_by_name_and_by_image() -> None:
    hashes = {"a": CaseHashes("image-a", "empty"), "copy": CaseHashes("image-a", None), "b": CaseHashes(None, "empty")}
    recorded = RunConfiguration(prepared=Prepared(cases=hashes))
    assert find_shared(recorded, 0, ["a", "c"], ["b", "d"]) == []  # empty label maps are alike in many subjects
    assert [str(one) for one in find_shared(recorded, 0, ["a", "c"], ["d", "copy", "c"])] == [
        "c",
        "copy (same image as its training case a)",
    ]
    assert [str(one) for one in find_shared(RunConfiguration(), 0, ["a", "c"], ["copy", "c"])] == ["c"]
    assert find_shared(recorded, "all", ["a", "copy"], ["a", "copy"]) == []


def test_a_fold_that_trains_on_what_it_validates_on_is_refused_in_one_line() -> None:
    shared = find_shared(RunConfiguration(), 2, ["a", "b"], ["b"])
    with pytest.raises(LeakageError) as refused:
        refuse_shared(shared, dataset="Dataset001_X", fold=2, where=Path("synthaug.json"))
    message = str(refused.value)
    for part in ("fold 2 of Dataset001_X trains on 1", ": b;", "splits_final.json", '"allow_leakage": true in synth'):
        assert part in message
    refuse_shared([], dataset="Dataset001_X", fold=2, where=Path("synthaug.json"))
