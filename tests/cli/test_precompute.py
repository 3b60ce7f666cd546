"""``synthaug precompute`` as it is called: options, mistakes, several processes, and kills at any moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthaug.cli import served_training
from synthaug.cli.app import run
from synthaug.integrations.nnunet import prepare
from synthaug.store import Store, StoreInfo
from synthaug.volumes import LabeledVolume
from tests import stand_in_generator
from tests.stand_in_generator import StandInGenerator

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = "python:tests.stand_in_generator:make"
BASE = ["precompute", "--generator", STAND_IN, "--schedule", "uniform:20:120", "--seed", "0", "--device", "cpu"]
PACE = ["--option", "seconds=0.02"]
"""Slow enough to be killed between two cases as well as inside one."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def test_the_fixed_form_makes_the_cases_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cache"
    assert run([*BASE, "--num", "3", "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert (summary["requested"], summary["stored"], summary["complete"]) == (3, 3, True)
    assert "cases" not in printed.err.replace(str(out), "")
    assert len(Store.open(out)) == 3
    assert run([*BASE, "--num", "3", "--out", str(out)]) == 0
    assert "3 of 3 requested cases" in capsys.readouterr().out


def test_options_reach_the_generator_and_the_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--steps", "5"], ["--guidance", "2.0"], ["--option", "flavour=salt"]):
        assert run([*BASE, "--num", "1", "--out", str(tmp_path / "cache"), *options]) == 0
    assert len(Store.open(tmp_path / "cache")) == 4


def test_a_schedule_may_be_a_file(tmp_path: Path) -> None:
    schedule = tmp_path / "schedule.json"
    schedule.write_text(json.dumps({"kind": "uniform", "low_ml": 30, "high_ml": 31, "structure": "ventricles"}))
    arguments = ["precompute", "--generator", STAND_IN, "--schedule", str(schedule), "--num", "2", "--device", "cpu"]
    assert run([*arguments, "--out", str(tmp_path / "cache")]) == 0
    for entry in Store.open(tmp_path / "cache").entries():
        assert 30 <= entry.requested_ml["ventricles"] <= 31


def test_requests_that_never_pass_end_in_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*BASE, "--num", "2", "--out", str(tmp_path / "cache"), "--option", "dirty=true", "--attempts", "2"]
    assert run(arguments) == 1
    printed = capsys.readouterr().out
    assert "0 of 2 requested cases" in printed
    assert "non-zero-background 4" in printed


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--schedule", "uniform:100:400"], "400|bound|150"),
        (["--schedule", "unifrom:20:120"], "uniform"),
        (["--generator", "python:tests.nowhere:make"], "nowhere"),
        (["--generator", "no-such-generator"], "no-such-generator"),
        (["--ratio", "0.5"], "--dataset"),
        (["--ratio", "0"], "--dataset"),
        (["--fold", "99"], "--dataset"),
        (["--plans", "nnUNetResEncUNetMPlans"], "--dataset"),
        (["--dataset", "1", "--mix", "nonsense"], "nonsense"),
        (["--dataset", "1", "--ratio", "1.5"], "0 and 1"),
        (["--dataset", "1", "--ratio", "0.5", "--mix", "real"], "--mix"),
        (["--option", "steps"], "KEY=VALUE"),
        (["--option", "device=cpu"], "--device cpu"),
        (["--dataset", "1", "--mapping", "nowhere.json"], "nowhere.json"),
        (["--dataset", "1", "--mapping", "."], "not a regular file"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2_and_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    out = tmp_path / "cache"
    assert run([*BASE, "--num", "2", "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert any(part in error for part in what.split("|"))
    assert not out.exists()


def test_an_unknown_dataset_is_found_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path / name))
    out = tmp_path / "cache"
    assert run([*BASE, "--num", "2", "--out", str(out), "--dataset", "987"]) == 2
    assert "987" in capsys.readouterr().err
    assert not out.exists()


def test_a_missing_place_for_the_cache_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*BASE, "--num", "2"]) == 2
    assert "--out" in capsys.readouterr().err


def test_a_cache_of_other_weights_is_refused_and_untouched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cache"
    assert run([*BASE, "--num", "2", "--out", str(out)]) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert run([*BASE, "--num", "2", "--out", str(out), "--option", "version=2"]) == 2
    assert "made with" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_with_a_dataset_the_trainers_configuration_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[Any, ...]] = []

    def record(folder: Path, dataset: str, request: prepare.TrainingRequest, **arguments: Any) -> str:
        calls.append((folder, dataset, request, arguments))
        return "prepared"

    monkeypatch.setattr(served_training, "prepare_training", record)
    checked: list[tuple[Any, ...]] = []

    def check(made_by: StoreInfo, *where: Any, announce: Any) -> dict[str, Any]:
        checked.append(where)
        return {"a": "content"}

    monkeypatch.setattr(served_training, "check_training", check)
    preprocessed: list[str] = []
    form = SimpleNamespace(add=lambda store, name, pair: preprocessed.append(name))
    monkeypatch.setattr(served_training, "plans_forms", lambda *_: [form])
    table = tmp_path / "mapping.json"
    table.write_text('{"thalamus": "brain"}')
    more = [
        "--dataset",
        "501",
        "--fold",
        "2",
        "--configuration",
        "3d_fullres",
        "--ratio",
        "0.5",
        "--mapping",
        str(table),
    ]
    assert run([*BASE, "--num", "1", "--out", str(tmp_path / "cache"), *more]) == 0
    ((folder, dataset, request, arguments),) = calls
    assert (folder, dataset) == (tmp_path / "cache", "501")
    assert preprocessed == Store.open(folder).names()
    assert callable(arguments["announce"])
    assert arguments["cases"] == {"a": "content"}
    assert checked == [(tmp_path / "cache", "501", request)]
    assert request.fold == 2
    assert request.configurations == ("3d_fullres",)
    assert request.mix == 0.5
    assert request.mapping == {"thalamus": "brain"}
    assert request.schedule is not None
    assert request.schedule.structure == "ventricles"
    assert "prepared" in capsys.readouterr().out


def killed_runs(out: Path, num: int, kills: int, rng: random.Random) -> int:
    """Kill -9 a run ``kills`` times, each at a random moment of its work; returns how many were still at work."""
    context = multiprocessing.get_context("fork")  # the children have everything imported and begin at once
    hit = 0
    for _ in range(kills):
        process = context.Process(target=run, args=([*BASE, "--num", str(num), "--out", str(out), *PACE],))
        process.start()
        process.join(timeout=rng.uniform(0.0, 0.5))
        hit += process.is_alive()
        process.kill()
        process.join()
    return hit


def assert_complete_and_sound(out: Path, num: int, tmp_path: Path) -> None:
    assert run([*BASE, "--num", str(num), "--out", str(out), *PACE]) == 0
    store = Store.open(out)
    assert store.verify() == []
    assert run([*BASE, "--num", str(num), "--out", str(tmp_path / "undisturbed"), *PACE]) == 0
    undisturbed = Store.open(tmp_path / "undisturbed")
    assert store.names() == undisturbed.names()
    assert len(store) == num
    for name in store.names():
        assert store.provenance(name)["files"] == undisturbed.provenance(name)["files"]
    assert not list(out.rglob("*.tmp"))
    assert store.claims().names() == []


def test_after_ten_kills_a_rerun_completes_exactly_the_requested_cases(tmp_path: Path) -> None:
    out = tmp_path / "cache"
    assert killed_runs(out, 40, 10, random.Random(1)) > 0
    assert_complete_and_sound(out, 40, tmp_path)


def _terminated_while_working(out: Path) -> None:
    class Terminating(StandInGenerator):
        def generate(self, *arguments: Any) -> list[LabeledVolume]:
            if len(self.calls) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().generate(*arguments)

    stand_in_generator.make = lambda **options: Terminating()
    os._exit(run([*BASE, "--num", "6", "--out", str(out)]))


def test_sigterm_ends_a_run_as_an_interruption_does(tmp_path: Path) -> None:
    out = tmp_path / "cache"
    process = multiprocessing.get_context("fork").Process(target=_terminated_while_working, args=(out,))
    process.start()
    process.join()
    assert process.exitcode == 130
    store = Store.open(out)
    assert len(store) == 2
    assert store.verify() == []
    assert store.claims().names() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "started"),
    [
        (["--cpu", "--num_processes", "2"], {0}),  # accelerate starts one process on the CPU, whatever it is asked for
        (["--multi_gpu", "--num_processes", "2", "--main_process_port", "0"], {0, 1}),
    ],
    ids=["cpu", "multi"],
)
def test_accelerate_launch_makes_each_case_once(tmp_path: Path, options: list[str], started: set[int]) -> None:
    out = tmp_path / "cache"
    launch = [sys.executable, "-m", "accelerate.commands.launch", *options, "-m", "synthaug"]
    arguments = [*BASE, "--num", "6", "--out", str(out), "--option", "seconds=0.05"]
    arguments[arguments.index("cpu")] = "auto"
    finished = subprocess.run(
        [*launch, *arguments], env=environment(), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "6 of 6 requested cases" in finished.stdout
    store = Store.open(out)
    assert store.verify() == []
    stored = [event["name"] for event in store.events.read() if event["event"] == "stored"]
    assert sorted(stored) == store.names()
    processes = {event["process"] for event in store.events.read() if event["event"] == "started"}
    assert processes == started
