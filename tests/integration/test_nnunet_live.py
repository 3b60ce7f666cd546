"""nnU-Net trains on pairs that are made while it does."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import ConfigurationError
from synthaug.integrations.nnunet import training_run
from synthaug.live import LiveOptions
from synthaug.live.pool_folder import PREFIX
from synthaug.reports.training_report import TrainingReport
from synthaug.store import Store
from tests.integration.tiny_nnunet import (
    SHAPE,
    SPACING_MM,
    TinyDataset,
    full_table,
    make_cache,
    make_trainer,
    metrics,
    prepare,
)
from tests.stand_in_generator import StandInGenerator

pytestmark = pytest.mark.integration

STAND_IN = "python:tests.integration.test_nnunet_live:stand_in"


def stand_in(device: str) -> StandInGenerator:
    """What the generating process loads."""
    return StandInGenerator(SHAPE, SPACING_MM)


def pools() -> set[Path]:
    """Those of this process; another run of the tests on the same machine has its own."""
    named = f"{PREFIX}*-{os.getpid()}-*"
    return {path for parent in ("/dev/shm", "/tmp") for path in Path(parent).glob(named)}


@pytest.fixture
def live(dataset: TinyDataset, monkeypatch: pytest.MonkeyPatch) -> TinyDataset:
    """The dataset, to be trained with ``source: live`` and no cache."""
    monkeypatch.setattr(training_run, "registered", str)
    configure(dataset, generator=STAND_IN)
    return dataset


def configure(dataset: TinyDataset, **settings: Any) -> None:
    options = {"capacity": 8, "first": 8, "niceness": 0, "most_uses": 2}
    content = {
        "source": "live",
        "live": options,
        "mix": "synthetic",
        "schedule": "uniform:8:30",
        "mapping": full_table(stand_in("cpu").scheme),
        **settings,
    }
    (dataset.preprocessed / "synthaug.json").write_text(json.dumps(content))


def test_a_training_draws_pairs_that_were_made_meanwhile(live: TinyDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHAUG_EPOCHS", "4")
    before = pools()
    trainer = make_trainer(live)
    trainer.run_training()
    lines = metrics(live.output())
    synthetic = sum(line["synthetic"] for line in lines)
    assert synthetic >= 12
    for line in lines:
        assert line["synthetic"] + line["real"] == line["draws"]
        assert sum(line["volumes_ml"]["drawn"]) == line["synthetic"]
        assert line["live"]["restarts"] == 0
        assert line["fallbacks"]["unreadable"] == 0
        assert line["loader_wait_s"] >= 0
    assert all(
        line["volumes_ml"]["min"] >= 7 and line["volumes_ml"]["max"] <= 31 for line in lines if line["synthetic"]
    )
    assert pools() == before
    shown = TrainingReport.read(live.output())
    assert f"{synthetic} of {sum(line['draws'] for line in lines)} draws were synthetic" in shown.to_markdown()
    assert list((live.output() / "synthaug_tensorboard").glob("events*"))
    written = json.loads((live.output() / "synthaug.json").read_text())
    assert written["run"]["source"] == "live"
    assert written["run"]["cache"] is None


def test_the_generating_process_ends_with_the_training(live: TinyDataset) -> None:
    trainer = make_trainer(live)
    trainer.initialize()
    before = pools()
    trainer.get_tr_and_val_datasets()
    first = trainer._synthaug_run.live
    trainer.on_train_start()  # nnU-Net asks for the datasets again
    second = trainer._synthaug_run.live
    assert not first.supervisor.alive
    process = second.supervisor.process_id
    trainer.current_epoch = 1
    trainer.on_train_end()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert pools() == before


def test_a_training_begins_with_the_cases_of_its_cache(
    dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_run, "registered", lambda name: STAND_IN)
    store = make_cache(tmp_path / "cache", num=5)
    prepare(dataset, store, mix="synthetic")
    content = json.loads((dataset.preprocessed / "synthaug.json").read_text())
    slow = {"capacity": 8, "first": 5, "duty": 0.001, "niceness": 0}
    (dataset.preprocessed / "synthaug.json").write_text(json.dumps({**content, "source": "live", "live": slow}))
    trainer = make_trainer(dataset)
    trainer.initialize()
    trainer.get_tr_and_val_datasets()
    source = trainer._synthaug_run.live
    try:
        deadline = time.monotonic() + 60
        while not set(store.names()) <= set(Store.open(source.folder).names()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        source.shutdown()


def test_a_configuration_runs_no_code(dataset: TinyDataset) -> None:
    configure(dataset, generator=STAND_IN)
    trainer = make_trainer(dataset)
    trainer.initialize()
    with pytest.raises((SystemExit, ConfigurationError), match="runs no code"):
        trainer.get_tr_and_val_datasets()


def test_wrong_options_are_one_clear_line(dataset: TinyDataset) -> None:
    configure(dataset, live={"duty": 3})
    with pytest.raises((SystemExit, ConfigurationError), match=r"live.*duty"):
        make_trainer(dataset).initialize()
    configure(dataset, source="lively")
    with pytest.raises((SystemExit, ConfigurationError), match="lively"):
        make_trainer(dataset).initialize()
    assert LiveOptions().duty == 1


@pytest.mark.parametrize("start_method", ["fork", "forkserver"])
def test_the_command_line_trains_live_with_worker_processes(live: TinyDataset, start_method: str) -> None:
    before = pools()
    script = (
        "import multiprocessing, sys\n"
        "from synthaug.integrations.nnunet import training_run\n"
        "training_run.registered = str\n"
        "if __name__ == '__main__':\n"
        f"    multiprocessing.set_start_method({start_method!r}, force=True)\n"
        "    from nnunetv2.run.run_training import run_training_entry\n"
        "    sys.argv = 'nnUNetv2_train 901 3d_fullres 0 -tr nnUNetTrainerSynthAug -device cpu'.split()\n"
        "    run_training_entry()\n"
    )
    path = live.root / "train.py"
    path.write_text(script)
    environment = {"SYNTHAUG_EPOCHS": "3", "SYNTHAUG_ITERATIONS": "6", "SYNTHAUG_VALIDATION_ITERATIONS": "1"}
    live.run(["python", str(path)], **environment, nnUNet_n_proc_DA="2")
    lines = metrics(live.output())
    assert sum(line["synthetic"] for line in lines) >= 12
    assert pools() == before
