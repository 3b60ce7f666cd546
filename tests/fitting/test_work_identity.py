"""Work is gone on with for what it was begun for, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.errors import ConfigurationError
from synthaug.fitting.work_identity import refuse_other_work


def test_the_same_work_goes_on_and_other_work_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "work" / "cases.json"
    refuse_other_work(path, '"one"', "the work of others")
    refuse_other_work(path, '"one"', "the work of others")
    with pytest.raises(ConfigurationError, match="holds the work of others; choose another folder"):
        refuse_other_work(path, '"two"', "the work of others")
    assert path.read_text() == '"one"'


def test_an_emptied_file_is_damaged_and_not_of_others(tmp_path: Path) -> None:
    path = tmp_path / "work.json"
    path.touch()
    with pytest.raises(ConfigurationError, match=r"work\.json is damaged"):
        refuse_other_work(path, "{}", "the work of others")
