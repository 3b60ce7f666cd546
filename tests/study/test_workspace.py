"""The folder of a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from synthaug.errors import ConfigurationError
from synthaug.study.arms import Arm, Run
from synthaug.study.tested_case import TestedCase
from synthaug.study.workspace import RunResult, Workspace

RUN = Run(Arm("dynunet", "real"), 0, {"seed": 0})
RESULT = RunResult(
    3, False, 1.5, None, 0, (TestedCase("a", {"x": 0.5, "y": None}, 10.0, 12.0),), ("half",), "cpu in float32"
)


def test_a_result_survives_writing_and_reading(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.result(RUN) is None
    workspace.begin_run(RUN, {"cases": 1})
    workspace.finish_run(RUN, RESULT)
    assert workspace.result(RUN) == RESULT
    assert workspace.results([RUN]) == {RUN: RESULT}


def test_a_result_of_an_earlier_version_is_read() -> None:
    earlier = {key: value for key, value in RESULT.to_dict().items() if key != "trained_on"}
    assert RunResult.from_dict(earlier) == replace(RESULT, trained_on="")


def test_a_run_is_not_gone_on_with_for_other_pairs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.begin_run(RUN, {"pairs": ["a"]})
    workspace.begin_run(RUN, {"pairs": ["a"]})
    with pytest.raises(ConfigurationError, match="other cases or pairs"):
        workspace.begin_run(RUN, {"pairs": ["b"]})


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = workspace.begin_run(RUN, {})
    (folder / "result.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"result\.json is damaged"):
        workspace.result(RUN)


def test_only_the_study_that_was_begun_is_collected(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "out")
    with pytest.raises(ConfigurationError, match="holds no study"):
        workspace.require([RUN])
    workspace.begin({"steps": 3}, {}, [RUN])
    workspace.begin_run(RUN, {})
    workspace.require([RUN])
    with pytest.raises(ConfigurationError, match="another study"):
        workspace.require([Run(Arm("dynunet", "real"), 1, {"seed": 1})])


@pytest.mark.parametrize("name", ["study.json", "run.json"])
def test_an_emptied_file_is_damaged_and_not_of_another_study(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path)
    workspace.begin({}, {}, [RUN])
    folder = workspace.begin_run(RUN, {})
    (tmp_path / name if name == "study.json" else folder / name).write_text("")
    begin = (lambda: workspace.begin({}, {}, [RUN])) if name == "study.json" else (lambda: workspace.begin_run(RUN, {}))
    with pytest.raises(ConfigurationError, match=rf"{name} is damaged"):
        begin()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(ConfigurationError, match="is a file"):
        Workspace(tmp_path / "out").refuse_foreign()
