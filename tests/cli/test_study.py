"""``synthaug study`` as it is called: options, mistakes, kills, and several processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from synthaug.cli.app import run
from tests.study.small_study import small_plan, write_dataset

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("raw") / "Dataset900_Small")


def write_plan(folder: Path, raw: Path, **changes: Any) -> str:
    path = folder / "study.json"
    path.write_text(json.dumps(small_plan(raw, **changes)))
    return str(path)


def arguments(plan: str, out: Path, *further: str) -> list[str]:
    return ["study", plan, "--out", str(out), "--device", "cpu", *further]


def test_runs_are_listed_without_anything_being_made(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = write_plan(tmp_path, dataset)
    assert run(arguments(plan, tmp_path / "out", "--list")) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) == 4
    assert run(arguments(plan, tmp_path / "out", "--list", "--json")) == 0
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert [(one["number"], one["strategy"], one["seed"]) for one in listed] == [
        (0, "real", 0), (1, "mixed", 0), (2, "real", 1), (3, "mixed", 1)
    ]  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_single_runs_then_all_the_rest_then_the_report(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, out = write_plan(tmp_path, dataset), tmp_path / "out"
    assert run(arguments(plan, out, "--run", "1")) == 0
    assert len(list(out.rglob("result.json"))) == 1
    assert not (out / "report").exists()
    assert run(arguments(plan, out, "--collect")) == 1
    assert "1 of 4 runs are done" in (out / "report" / "report.md").read_text()
    capsys.readouterr()
    assert run(arguments(plan, out, "--json")) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["runs"], facts["done"], facts["missing"], facts["short"]) == (4, 4, [], [])
    assert [arm["strategy"] for arm in facts["arms"]] == ["real", "mixed"]
    assert "4 of 4 runs are done" in (out / "report" / "report.md").read_text()
    assert run(arguments(plan, out, "--collect")) == 0


@pytest.mark.parametrize(
    ("changes", "further", "what"),
    [
        ({"steps": -3}, [], "steps is -3"),
        ({"sedes": [1]}, [], "did you mean 'seeds'"),
        ({"dataset": "nowhere"}, [], "nowhere"),
        ({"test_cases": ["tset_0"]}, [], "did you mean 'test_0'"),
        ({}, ["--run", "4"], "runs 0 to 3"),
        ({}, ["--run", "1", "--list"], "give one of them"),
        ({}, ["--collect"], "nothing to collect"),
        ({"shape": [8, 16, 16]}, [], "cut off what is labelled"),
        ({}, ["--device", "gpu"], "device 'gpu' cannot be used here"),
        ({"generators": {"../out": {"generator": "x"}}}, [], "has the name '../out'"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2(
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    further: list[str],
    what: str,
) -> None:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    plan = write_plan(tmp_path, dataset, **changes)
    assert run(arguments(plan, tmp_path / "out", *further)) == 2
    error = capsys.readouterr().err.strip().splitlines()
    told = [line for line in error if line.startswith("synthaug:")]
    assert len(told) == 1
    assert what in told[0]
    assert not any("Traceback" in line for line in error)
    assert {one.name for one in tmp_path.glob("out/*")} <= {"cases.json", "study.json"}


@pytest.mark.parametrize(("content", "what"), [("{", "not JSON"), ("[]", "holds list"), (None, "cannot be read")])
def test_a_file_that_is_no_study_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, what: str
) -> None:
    plan = tmp_path / "study.json"
    if content is not None:
        plan.write_text(content)
    assert run(arguments(str(plan), tmp_path / "out")) == 2
    assert what in capsys.readouterr().err


def outcomes(out: Path) -> dict[str, Any]:
    return {path.parent.name: json.loads(path.read_text())["tested"] for path in sorted(out.rglob("result.json"))}


def started(plan: str, out: Path, **variables: str) -> subprocess.Popen[bytes]:
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = {**os.environ, **own, **variables}
    command = [sys.executable, "-m", "synthaug", *arguments(plan, out)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_changes(process: subprocess.Popen[bytes], out: Path, changes: int | None) -> None:
    """Until so many files have come or gone, so that every kill falls into the work; None: do not wait."""
    before = None
    while changes and process.poll() is None:
        now = sorted(os.path.join(folder, name) for folder, _, names in os.walk(out) for name in names)
        if before is not None and now != before:
            changes -= 1
        before = now


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_it_ends_with_the_same_results(dataset: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path, dataset, steps=40)
    assert started(plan, tmp_path / "whole").wait(timeout=240) == 0  # sums are those of as many threads
    out, rng, kills = tmp_path / "killed", random.Random(0), 0
    for number in range(20):
        process = started(plan, out)
        try:
            changes = rng.randint(1, 12) if number < 3 else None
            wait_for_changes(process, out, changes)
            process.wait(timeout=0 if number < 3 else 240)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL if number % 2 == 0 else signal.SIGTERM)
            process.wait()
            kills += 1
        if process.returncode == 0:
            break
    assert kills >= 1
    assert process.returncode == 0
    assert outcomes(out) == outcomes(tmp_path / "whole")


@pytest.mark.slow
def test_processes_of_a_launcher_share_the_runs(dataset: Path, tmp_path: Path) -> None:
    """What ``accelerate launch`` and ``torchrun`` tell each process would make one network of all, at an address."""
    plan, out = write_plan(tmp_path, dataset), tmp_path / "out"
    address = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    processes = [started(plan, out, RANK=str(rank), LOCAL_RANK=str(rank), **address) for rank in range(2)]
    codes = [process.wait(timeout=240) for process in processes]
    assert codes == [0, 0]  # a launcher would end the other process if one had left with runs missing
    assert len(list(out.rglob("result.json"))) == 4
    assert "4 of 4 runs are done" in (out / "report" / "report.md").read_text()
