"""Each test case of a study is tested by networks that learned the other ones too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import leave_one_out
from synthaug.study.tested_case import TestedCase
from tests.study.small_study import small_config, small_plan, write_dataset


def test_all_cases_but_one_are_learned_and_no_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "study.json"
    plan.write_text(json.dumps(small_plan(write_dataset(tmp_path / "d"), real_cases=[2])))
    arguments = [str(plan), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert leave_one_out.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "| dynunet | 2, 2 |" in printed
    assert "test_0 " in printed
    assert "test_1 " in printed
    for case, other in (("test_0", "test_1"), ("test_1", "test_0")):
        surveyed = json.loads((tmp_path / "out" / case / "study.json").read_text())["study"]
        assert surveyed["test_cases"] == [case]
        assert surveyed["strategies"] == ["real"]
        assert surveyed["real_cases"] == []
        assert other in (tmp_path / "out" / case / "cases.json").read_text()
        assert not (tmp_path / "out" / case / "caches").exists()
    assert leave_one_out.main(arguments) == 0  # nothing is trained again
    assert capsys.readouterr().out == printed


def test_figures_are_those_of_an_arm_and_errors_are_told_by_case() -> None:
    def tested(name: str, error_ml: float) -> TestedCase:
        return TestedCase(name, {"ventricles": 0.5}, 40.0, 40.0 + error_ml)

    found = leave_one_out.row("n", {0: [tested("a", 1.0), tested("b", -2.0)], 1: [tested("a", 3.0), tested("b", -4.0)]})
    assert found == ("n", "2, 2", "2.50 ± 3.11", "-0.50", "0.500", "a 2.00, b -3.00")


def test_a_study_that_cannot_be_is_refused_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "study.json"
    plan.write_text(json.dumps(small_plan(write_dataset(tmp_path / "d"), test_cases=["nobody"])))
    assert leave_one_out.main([str(plan), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_study_compares_beside_networks_and_seeds_does_not_count(tmp_path: Path) -> None:
    config = small_config(write_dataset(tmp_path / "d"), real_cases=[1, 2], schedules=["uniform:20:80", "uniform:1:2"])
    found = leave_one_out.without(config, "test_0")
    assert (found.generators, found.schedules, found.real_cases) == ({}, {}, ())
    assert (found.seeds, found.segmenters, found.steps) == (config.seeds, config.segmenters, config.steps)
