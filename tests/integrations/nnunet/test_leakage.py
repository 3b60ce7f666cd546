"""The words in which a training is refused whose generator has seen validation cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.errors import LeakageError
from synthaug.integrations.nnunet.leakage import refuse_leaks
from synthaug.leakage import find_leaks
from synthaug.volumes import CaseRecord


def test_the_refusal_names_cases_and_mend() -> None:
    leaks = find_leaks(
        [CaseRecord("a", "image-a", "label-a")], [CaseRecord(name, "image-a", None) for name in "hijklmn"]
    )
    with pytest.raises(LeakageError) as refused:
        refuse_leaks(leaks, generator="g", cache=Path("C"), dataset="Dataset001_X", fold=2, where=Path("synthaug.json"))
    message = str(refused.value)
    for part in ("C: generator g", "7 validation case(s) of fold 2", "h (same image", "and 2 more", "--fold 2"):
        assert part in message
    refuse_leaks([], generator="g", cache=Path("C"), dataset="Dataset001_X", fold=2, where=Path("synthaug.json"))
