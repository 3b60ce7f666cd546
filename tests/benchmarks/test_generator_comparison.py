"""The comparison makes pairs once, and refuses what does not fit in one line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import generator_comparison
from synthaug.conditions import Condition
from synthaug.evaluation.extractors import RandomConvolutions
from synthaug.evaluation.fold_cases import FoldCases
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord
from tests.raw_dataset import write_raw_dataset
from tests.stand_in_generator import StandInGenerator

STAND_IN = "python:tests.stand_in_generator:make"
LEAKY = "python:tests.benchmarks.test_generator_comparison:make_leaky"
POOR = "python:tests.benchmarks.test_generator_comparison:make_poor"
TRAINING, HELD_OUT = ("a", "b", "c"), ("d", "e", "f")
SCHEDULE = "ventricles=uniform:20:80"


def make_leaky(**options: Any) -> StandInGenerator:
    return StandInGenerator(training_cases=[CaseRecord("d", None, None)], **options)


def make_poor(**options: Any) -> StandInGenerator:
    scheme = LabelScheme.load("ventricles-t1")
    kept = tuple(one for one in scheme.structures if one.name != "thalamus")
    return StandInGenerator(scheme=LabelScheme("poor", kept, {"ventricles": scheme.groups["ventricles"]}), **options)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "Dataset001_Heads"
    write_raw_dataset(folder, (*TRAINING, *HELD_OUT))
    (folder / "splits_final.json").write_text(json.dumps([{"train": TRAINING, "val": HELD_OUT}]))
    return folder


@pytest.fixture
def random_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the shipped weights, which take a second to read."""
    extractors = {"image autoencoder": RandomConvolutions()}
    monkeypatch.setattr("synthaug.evaluation.offline_extractors.offline_extractors", lambda: extractors)


def in_this_process(name: str, options: argparse.Namespace) -> None:
    real = FoldCases.find(options.real, options.fold)
    generator_comparison.make_pairs(name, real, options)


def asked(raw: Path, *generators: str) -> list[str]:
    named = [word for name in generators for word in ("--generator", name)]
    return ["--real", str(raw), "--work", str(raw.parent / "work"), "--num", "3", "--schedule", SCHEDULE, *named]


@pytest.mark.usefixtures("random_blocks")
def test_a_table_with_real_rows_the_generator_and_the_papers_is_written(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, pictures = tmp_path / "report.json", tmp_path / "pictures"
    assert generator_comparison.main([*asked(raw, STAND_IN), "--json", str(path), "--pictures", str(pictures)]) == 0
    printed = capsys.readouterr().out
    report = json.loads(path.read_text())
    assert [row["title"] for row in report["rows"]] == ["held-out cases", "training cases", STAND_IN]
    assert (report["held_out_cases"], report["compared_cases"], report["spacing_mm"]) == (3, 3, 4.0)
    _, training, made = report["rows"]
    assert made["cases"] == 3
    for row in (training, made):
        for figure in ("fid", "block_frechet", "lpips", "ms_ssim", "neighbour_dice"):
            assert np.isfinite(row[figure]), figure
    assert made["volume_error"] < 0.01
    assert made["attempts"] == 1
    assert made["seconds_per_pair"] > 0
    assert made["peak_memory_gb"] > 0.05
    assert made["dice_at_joins"] is None
    assert f"| {STAND_IN} | 3 |" in printed
    assert "| MedGen3D, as published | - | 40.3 (Inception) | - | 0.326 (learned) |" in printed
    assert "| FID, random convolutions |" in printed
    assert "cannot be compared" in printed
    assert (pictures / "generators.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.usefixtures("random_blocks")
def test_pairs_that_are_there_are_not_made_again_and_their_costs_are_kept(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator_comparison, "_run_part", in_this_process)
    assert generator_comparison.main([*asked(raw, STAND_IN), "--num", "1"]) == 0
    (folder,) = (raw.parent / "work").iterdir()
    seeds: list[int] = []
    make = StandInGenerator.generate

    def remember(self: StandInGenerator, conditions: Sequence[Condition], seeds_: Sequence[int]) -> Any:
        seeds.extend(seeds_)
        return make(self, conditions, seeds_)

    monkeypatch.setattr(StandInGenerator, "generate", remember)
    first = generator_comparison.read_cost(folder)
    assert generator_comparison.main(asked(raw, STAND_IN)) == 0
    assert len(seeds) == 2
    both = generator_comparison.read_cost(folder)
    assert (first["requests"], both["requests"]) == (1, 3)
    assert both["seconds"] > first["seconds"]
    assert generator_comparison.main(asked(raw, STAND_IN)) == 0
    assert generator_comparison.read_cost(folder) == both


def test_wrong_volumes_are_no_reason_to_reject_a_pair_and_are_told(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = StandInGenerator._anatomy
    monkeypatch.setattr(StandInGenerator, "_anatomy", lambda self, target, rng: draw(self, 2 * target, rng))
    options = generator_comparison._parser().parse_args([*asked(raw, STAND_IN), "--schedule", "constant:20"])
    real = FoldCases.find(options.real, options.fold)
    plan = generator_comparison.Plan.of(STAND_IN, real, options)
    in_this_process(STAND_IN, options)
    row = generator_comparison.making_row(plan)
    assert row["volume_error"] == pytest.approx(1.0, abs=0.02)
    assert row["attempts"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--generator", LEAKY], "was made from 1 of the"),
        (["--generator", POOR], "makes no thalamus"),
        (["--generator", "nowhere"], "no generator 'nowhere'"),
        (["--generator", STAND_IN, "--generator", STAND_IN], "names one of them twice"),
        (["--generator", STAND_IN, "--fold", "7"], "fold '7'"),
        (["--generator", STAND_IN, "--fold", "all"], "holds no case out"),
        (["--generator", STAND_IN, "--real", "."], "holds no dataset.json"),
        (["--generator", STAND_IN, "--schedule", "constant:9000"], "9000"),
        (["--generator", STAND_IN, "--lpips-weights", "/dev/null"], "cannot be read as weights"),
        (["--generator", STAND_IN, "--json", "."], "is a folder"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line_before_anything_is_made(
    raw: Path, changes: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator_comparison, "_run_part", lambda *_: pytest.fail("pairs were made"))
    assert generator_comparison.main([*asked(raw), *changes]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("generator_comparison: ")
    assert message in line


def test_a_generator_that_fails_in_its_process_ends_the_comparison(
    raw: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "false")
    options = generator_comparison._parser().parse_args(asked(raw, STAND_IN))
    with pytest.raises(generator_comparison.PartError, match="could not be made"):
        generator_comparison._run_part(STAND_IN, options)
