"""What is written, and how it must be found after a fault of the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from synthaug.cli.app import run
from synthaug.conditions import Condition
from synthaug.files.tensors import write_tensors
from synthaug.store import Store, StoreInfo
from synthaug.store.verification import LEFTOVER
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

STAND_IN = "python:tests.stand_in_generator:make"
GENERATOR = StandInGenerator()
(PAIR,) = GENERATOR.generate([Condition({"ventricles": 70.0})], [9])


@dataclass(frozen=True)
class Scenario:
    """Something that is written.

    Attributes:
        prepare: what is there before, in an empty folder.
        act: writes; gives an exit code, or raises what a caller expects.
        check: looks at the folder after a fault; all that was there must be whole, and nothing by half.
        complete: looks at it after `act` was done again without one.
        is_command: whether `act` is a command line, which tells of everything in one line.
    """

    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    check: Callable[[Path], object]
    complete: Callable[[Path], object]
    is_command: bool = False


# ------------------------------------------------------------------ the store


def with_one_case(folder: Path) -> None:
    fill(Store.create(folder / "cache", StoreInfo.of(GENERATOR)), GENERATOR, (40.0,))


def add_case(folder: Path) -> None:
    Store.open(folder / "cache").add("further", PAIR)


def is_sound(folder: Path, *, complete: bool = False) -> None:
    """No case by half, every byte as written; only what the process left may lie about."""
    store = Store.open(folder / "cache")
    for name in store.names():
        store.read(name)
    assert [entry for entry in store.entries() if abs(entry.realised_ml["ventricles"] - 40) < 2]
    problems = [one for one in store.verify() if one.kind != LEFTOVER]
    assert not problems, problems
    if complete:
        assert "further" in store


def claim(folder: Path) -> None:
    claims = Store.open(folder / "cache").claims()
    assert claims.take("one")
    claims.refresh()
    claims.release("one")


def is_free(folder: Path) -> None:
    is_sound(folder)
    assert Store.open(folder / "cache").claims().take("one")


def no_check(folder: Path) -> None:
    """Before the next run there is nothing to look at: whoever died with a claim still seems to live in this test."""


def record_events(folder: Path) -> None:
    events = Store.open(folder / "cache").events
    for seed in range(3):
        events.write("rejected", name="further", seed=seed, reasons=["small"])


# ------------------------------------------------------------------ commands


def precompute(folder: Path) -> int:
    # one attempt at a claim that a cut process left: it is ours, since the process of this test lives on
    return run(["precompute", "--generator", STAND_IN, "--num", "2", "--seed", "3", "--out", str(folder / "cache")])


def has_two_more(folder: Path) -> None:
    is_sound(folder)
    assert len(Store.open(folder / "cache")) == 3


def release_claims(folder: Path) -> None:
    for path in (folder / "cache" / "claims").glob("*"):
        path.unlink()  # as those of a process that is gone are
    is_sound(folder)


def sample(folder: Path, seed: int = 5) -> int:
    words = ["--generator", STAND_IN, "--target", "ventricles=40", "--seed", str(seed), "--json"]
    return run(["sample", *words, "--out", str(folder / "pairs")])


def with_earlier_pair(folder: Path) -> None:
    assert sample(folder, 4) == 0


def pairs_are_whole(folder: Path) -> None:
    import nibabel

    names = [path.name for path in (folder / "pairs").iterdir() if not path.name.startswith(".")]
    assert "stand-in_seed4_000_image.nii.gz" in names
    for name in names:
        path = folder / "pairs" / name
        if name.endswith(".nii.gz"):
            nibabel.load(path).get_fdata()  # type: ignore[attr-defined]
        elif name.endswith(".json"):
            json.loads(path.read_text())
        else:
            assert path.read_bytes()[-8:-4] == b"IEND"


def has_both_pairs(folder: Path) -> None:
    pairs_are_whole(folder)
    assert len(list((folder / "pairs").glob("*_provenance.json"))) == 2


def export(folder: Path) -> int:
    return run(["cache", "export", str(folder / "cache"), "--out", str(folder / "exported")])


def is_exported(folder: Path) -> None:
    import nibabel

    is_sound(folder)
    files = list((folder / "exported").glob("sub-*/anat/*.nii.gz"))
    assert len(files) == 2
    for path in files:
        nibabel.load(path).get_fdata()  # type: ignore[attr-defined]


def with_metrics(folder: Path) -> None:
    from tests.reports.test_training_report import entry, write

    write(folder / "synthaug_metrics.jsonl", entry(0, 4), entry(1, 6))


def report(folder: Path) -> int:
    return run(["report", str(folder / "synthaug_metrics.jsonl"), "--out", str(folder / "report")])


def metrics_are_whole(folder: Path) -> None:
    assert len((folder / "synthaug_metrics.jsonl").read_text().splitlines()) == 2
    for path in folder.glob("report/synthaug_report.html"):
        assert path.read_text().rstrip().endswith("</html>")


def is_reported(folder: Path) -> None:
    metrics_are_whole(folder)
    assert len(list((folder / "report").glob("synthaug_report.*"))) == 3


# ------------------------------------------------------------------ other files


def with_settings(folder: Path) -> None:
    from synthaug.integrations.nnunet.run_configuration import RunConfiguration, write_configuration

    write_configuration(RunConfiguration(seed=1), folder / "synthaug.json")


def change_settings(folder: Path) -> None:
    from synthaug.integrations.nnunet.run_configuration import RunConfiguration, write_configuration

    write_configuration(RunConfiguration(seed=2), folder / "synthaug.json")


def seed_is(*allowed: int) -> Callable[[Path], None]:
    from synthaug.integrations.nnunet.run_configuration import read_configuration

    def check(folder: Path) -> None:
        assert read_configuration(folder, {}).seed in allowed

    return check


def write_weights(value: float) -> Callable[[Path], None]:
    import torch

    return lambda folder: write_tensors(folder / "x.safetensors", {"a": torch.full((500,), value)})


def weights_are(*allowed: float) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        from safetensors.torch import load_file

        assert float(load_file(folder / "x.safetensors")["a"].mean()) in allowed

    return check


def with_interrupted_stage(folder: Path) -> None:
    _advance(folder)


def _advance(folder: Path, steps: int = 1) -> None:
    import time

    from synthaug.fitting.stage import Turn
    from tests.fitting.test_stage import stage, towards

    for _ in range(steps):
        with pytest.raises(TimeoutError):
            stage(folder, [Turn(towards)], steps=50).run(deadline=time.time() - 1)


def finish_stage(folder: Path) -> None:
    from synthaug.fitting.stage import Turn
    from tests.fitting.test_stage import stage, towards

    stage(folder, [Turn(towards)], steps=4).run()


def stage_resumes(folder: Path) -> None:
    from synthaug.fitting.stage import Turn
    from tests.fitting.test_stage import stage, towards

    made = stage(folder, [Turn(towards)], steps=4)
    if not made.result_path.exists():
        made._resume()
        assert made._step >= 1  # what was learned before is not lost


def stage_is_done(folder: Path) -> None:
    from synthaug.fitting.stage import Turn
    from tests.fitting.test_stage import stage, towards

    assert stage(folder, [Turn(towards)], steps=4).result_path.exists()


def with_study(folder: Path) -> None:
    from synthaug.study.workspace import Workspace
    from tests.study.test_workspace import RESULT, RUN

    workspace = Workspace(folder / "study")
    workspace.begin({"a": 1}, {}, [RUN, OTHER_RUN()])
    workspace.begin_run(RUN, {})
    workspace.finish_run(RUN, RESULT)


def OTHER_RUN() -> Any:
    from synthaug.study.arms import Arm, Run

    return Run(Arm("dynunet", "real"), 1, {"seed": 1})


def make_run(folder: Path) -> None:
    from synthaug.study.workspace import Workspace
    from tests.study.test_workspace import RESULT, RUN

    workspace = Workspace(folder / "study")
    workspace.begin({"a": 1}, {}, [RUN, OTHER_RUN()])
    workspace.begin_run(OTHER_RUN(), {})
    workspace.finish_run(OTHER_RUN(), RESULT)


def runs_are_whole(folder: Path, due: int = 1) -> None:
    from synthaug.study.workspace import Workspace
    from tests.study.test_workspace import RUN

    found = Workspace(folder / "study").results([RUN, OTHER_RUN()])
    assert RUN in found
    assert len(found) >= due


def with_pool(folder: Path) -> None:
    from synthaug.live.pool import PoolWriter

    writer = PoolWriter(Store.create(folder / "cache", StoreInfo.of(GENERATOR)), 4)
    (pair,) = GENERATOR.generate([Condition({"ventricles": 40.0})], [1])
    writer.add("first", pair, None, 40.0, epoch=0, leave=None)


def add_to_pool(folder: Path) -> None:
    from synthaug.live.pool import PoolWriter

    PoolWriter(Store.open(folder / "cache"), 4).add("further", PAIR, None, 70.0, epoch=1, leave=None)


def pool_is_sound(folder: Path, due: int = 1) -> None:
    from synthaug.live.pool import PoolReader

    store = Store.open(folder / "cache")
    listed = [one.name for one in PoolReader(folder / "cache", 4).cases()]
    assert "first" in listed
    assert len(listed) >= due
    for name in listed:
        store.read(name)


SCENARIOS = {
    "store": Scenario(with_one_case, add_case, is_sound, lambda folder: is_sound(folder, complete=True)),
    "claims": Scenario(with_one_case, claim, release_claims, is_free),
    "events": Scenario(with_one_case, record_events, is_sound, is_sound),
    "precompute": Scenario(with_one_case, precompute, release_claims, has_two_more, is_command=True),
    "sample": Scenario(with_earlier_pair, sample, pairs_are_whole, has_both_pairs, is_command=True),
    "export": Scenario(with_one_case, export, is_sound, is_exported, is_command=True),
    "report": Scenario(with_metrics, report, metrics_are_whole, is_reported, is_command=True),
    "synthaug.json": Scenario(with_settings, change_settings, seed_is(1, 2), seed_is(2)),
    "weights": Scenario(write_weights(1.0), write_weights(2.0), weights_are(1.0, 2.0), weights_are(2.0)),
    "stage": Scenario(with_interrupted_stage, finish_stage, stage_resumes, stage_is_done),
    "study": Scenario(with_study, make_run, runs_are_whole, lambda folder: runs_are_whole(folder, 2)),
    "live pool": Scenario(with_pool, add_to_pool, pool_is_sound, lambda folder: pool_is_sound(folder, 2)),
}
