"""Tables and pictures from results that are made up."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synthaug.study.arms import Arm, Run, plan_runs
from synthaug.study.report import to_markdown, write_report
from synthaug.study.results import StudyResults
from synthaug.study.tested_case import TestedCase
from synthaug.study.workspace import RunResult
from tests.parsed_page import ParsedPage
from tests.study.small_study import STAND_IN, small_config

VOLUMES_ML = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


def made_up(error_ml: Callable[[Arm, int], float | None], **changes: Any) -> StudyResults:
    """Results with the same error in every case; None: the run is missing."""
    config = small_config(Path("Dataset900_Small"), **changes)
    runs = tuple(plan_runs(config))
    results: dict[Run, RunResult] = {}
    for run in runs:
        error = error_ml(run.arm, run.seed)
        if error is not None:
            dice = {"left": 1 - abs(error) / 25, "right": 1.0}
            tested = tuple(TestedCase(f"{volume:g}", dice, volume, volume + error) for volume in VOLUMES_ML)
            results[run] = RunResult(3, False, 1.0, None, 3, tested)
    return StudyResults(config, runs, results)


def by_strategy(arm: Arm, seed: int) -> float:
    return (-8.0 if arm.strategy == "real" else -2.0) - seed


def test_tables_have_what_the_papers_have() -> None:
    text = to_markdown(made_up(by_strategy))
    assert "# Study of Dataset900_Small" in text
    assert "4 of 4 runs are done" in text
    assert "| dynunet | real | 2 of 2 | 0.830 | 8.50 ± 0.52 | -8.50 | 0.71 |" in text
    assert (
        "| dynunet | mixed, stand-in, uniform:20:80, ratio 0.5 | 2 of 2 | 0.950 | 2.50 ± 0.52 | -2.50 | 0.71 |" in text
    )
    assert "below 26.7 mL (2 cases)" in text
    assert "| real | +0.120 | 6 | 0.0312 | -6.000 | 6 | 0.0312 |" in text
    assert "| segmenter | arm | left | right |" in text


def test_several_networks_stand_side_by_side() -> None:
    text = to_markdown(made_up(by_strategy, segmenters=["unet3d", "unet2d"]))
    assert "| arm | unet3d | unet2d |" in text
    assert "| real | 0.830 | 0.830 |" in text


def test_devices_that_differ_are_told() -> None:
    results = made_up(by_strategy)
    assert "Trained on" not in to_markdown(results)  # as earlier versions left them
    alike = {run: replace(result, trained_on="cpu in float32") for run, result in results.results.items()}
    assert "Trained on cpu in float32." in to_markdown(replace(results, results=alike))
    differing = {**alike, results.runs[0]: replace(alike[results.runs[0]], trained_on="cuda in bfloat16")}
    found = replace(results, results=differing)
    assert "Trained on cpu in float32 (3), cuda in bfloat16 (1)." in to_markdown(found)
    assert found.to_dict()["trained_on"] == {"cpu in float32": 3, "cuda in bfloat16": 1}


def test_missing_and_short_runs_are_told_and_do_not_count() -> None:
    results = made_up(lambda arm, seed: None if (arm.strategy, seed) == ("mixed", 1) else by_strategy(arm, seed))
    (missing,) = results.missing
    short = next(run for run in results.runs if run.arm.strategy == "real" and run.seed == 0)
    shortened = StudyResults(
        results.config, results.runs, {**results.results, short: RunResult(1, True, 1.0, 1.0, 0, ())}
    )
    text = to_markdown(shortened)
    assert "2 of 4 runs are done" in text
    assert f"1 run(s) spent their budget before that and are not compared: {short.name}" in text
    assert text.count("1 of 2") == 2
    assert shortened.to_dict()["missing"] == [missing.name]


def test_arms_without_a_common_seed_are_not_compared(tmp_path: Path) -> None:
    results = made_up(lambda arm, seed: by_strategy(arm, seed) if (arm.strategy == "real") == (seed == 0) else None)
    write_report(tmp_path, results)
    assert "| real | - | 0 | too few cases (0) | - | 0 | too few cases (0) |" in (tmp_path / "report.md").read_text()


def test_a_study_without_any_result_has_a_report_too(tmp_path: Path) -> None:
    files = write_report(tmp_path, made_up(lambda arm, seed: None))
    assert "0 of 4 runs are done" in (tmp_path / "report.md").read_text()
    assert [one.name for one in files] == ["report.md", "report.json", "arms.csv", "cases.csv", "report.html"]
    assert "0 of 4 runs are done" in ParsedPage.checked((tmp_path / "report.html").read_text()).text


def test_files_hold_all_figures(tmp_path: Path) -> None:
    write_report(tmp_path, made_up(by_strategy))
    found = json.loads((tmp_path / "report.json").read_text())
    assert [arm["title"] for arm in found["arms"]] == ["real", "mixed, stand-in, uniform:20:80, ratio 0.5"]
    sizes = found["arms"][1]["sizes"]
    assert [one["name"] for one in sizes] == ["all", "below 26.7 mL", "26.7 to 43.3 mL", "from 43.3 mL"]
    assert (sizes[0]["bias_ml"], sizes[0]["high_ml"]) == (pytest.approx(-2.5), None)
    assert found["arms"][1]["comparisons"][0]["adjusted_p"] == pytest.approx(2 / 64)
    with open(tmp_path / "cases.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * len(VOLUMES_ML)
    assert {row["generator"] for row in rows} == {"", "stand-in"}
    assert float(rows[0]["error_ml"]) == -8
    with open(tmp_path / "arms.csv", newline="") as file:
        assert [row["size"] for row in csv.DictReader(file)][:2] == ["all", "below 26.7 mL"]


def test_the_page_has_every_table_and_picture_and_opens_offline(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    schedules = {hostile: "uniform:20:80"}
    files = write_report(tmp_path, made_up(by_strategy, schedules=schedules, segmenters=["unet3d", "unet2d"]))
    page = ParsedPage.checked((tmp_path / "report.html").read_text())
    for title in ("Arms", "Dice by strategy and segmenter", "Against real cases alone", "Dice by structure"):
        assert title in page.text
    assert hostile in page.text
    assert "8.50 ± 0.52" in page.text
    assert len(page.pictures()) == len([one for one in files if one.suffix == ".png"]) == 2


def test_axes_of_numbers_become_curves(tmp_path: Path) -> None:
    results = made_up(
        lambda arm, seed: -(arm.ratio or 0) - (arm.real_cases or 0) - seed,
        ratios=[0.25, 0.5],
        real_cases=[1, 2],
    )
    files = write_report(tmp_path, results)
    pictures = [one for one in files if one.suffix == ".png"]
    assert [one.name for one in pictures] == ["errors.png", "utility_by_ratio.png", "utility_by_real_cases.png"]
    assert all(one.read_bytes().startswith(b"\x89PNG") for one in pictures)


def test_points_of_a_curve_differ_in_its_axis_alone() -> None:
    from synthaug.study.pictures import collect_curves

    results = made_up(lambda arm, seed: -10 * (arm.ratio or 0), ratios=[0.5, 0.25], seeds=[0])
    (curve,) = collect_curves(results, "ratio").values()
    real, *mixed = curve
    assert real == (0.0, 0.0, 1.0)  # real cases alone: nothing is synthetic
    assert mixed == [(0.25, pytest.approx(2.5), pytest.approx(0.95)), (0.5, pytest.approx(5), pytest.approx(0.9))]
    counted = made_up(lambda arm, seed: float(arm.num_pairs or 0), num_pairs=[2, 5], seeds=[0])
    (curve,) = collect_curves(counted, "num_pairs").values()
    assert [(point[0], point[1]) for point in curve] == [(0, 0), (2, pytest.approx(2)), (5, pytest.approx(5))]


def test_arms_are_compared_with_as_many_real_cases_in_the_same_network() -> None:
    results = made_up(by_strategy, segmenters=["unet3d", "unet2d"], real_cases=[1, 2], strategies=["real", "synthetic"])
    for arm in results.by_arm:
        baseline = results.baseline_of(arm)
        assert (baseline is None) == (arm.strategy == "real")
        if baseline is not None:
            assert baseline.segmenter == arm.segmenter
            assert baseline.real_cases == 2  # the synthetic arm uses none: it is held against the larger set


def test_holm_counts_all_arms_of_a_metric() -> None:
    generators = {name: {"generator": STAND_IN} for name in ("a", "b", "c")}
    results = made_up(by_strategy, generators=generators)
    assert [one[1].adjusted_p for one in results.comparisons.values()] == pytest.approx([3 * 2 / 64] * 3)


def test_a_name_stays_within_its_cell() -> None:
    text = to_markdown(made_up(by_strategy, schedules={"small | large\n\n# Mine": "uniform:20:80"}))
    assert "stand-in, small \\| large # Mine, ratio 0.5 |" in text


def test_runs_that_are_short_are_not_done(tmp_path: Path) -> None:
    results = made_up(by_strategy)
    short = {run: RunResult(1, True, 1.0, 1.0, 0, ()) for run in results.runs}
    text = to_markdown(StudyResults(results.config, results.runs, short))
    assert "0 of 4 runs are done" in text
    assert "4 run(s) spent their budget" in text


def test_what_pairs_could_not_follow_is_told_once(tmp_path: Path) -> None:
    results = made_up(by_strategy)
    noted = {run: replace(result, notes=("half of it is not drawn.",)) for run, result in results.results.items()}
    found = StudyResults(results.config, results.runs, noted)
    assert to_markdown(found).count("half of it is not drawn.") == 1
    assert found.to_dict()["notes"] == ["half of it is not drawn."]


def test_a_dollar_in_a_name_is_no_formula(tmp_path: Path) -> None:
    files = write_report(tmp_path, made_up(by_strategy, schedules={r"$\frac$": "uniform:20:80"}, ratios=[0.2, 0.5]))
    assert [one.name for one in files if one.suffix == ".png"] == ["errors.png", "utility_by_ratio.png"]
