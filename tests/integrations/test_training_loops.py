"""Ignite's engines and Lightning's trainers tell where they stand, and leave no process."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from synthaug import SynthAugment
from synthaug.integrations.training_loops import IgniteHandler, lightning_callback
from synthaug.live import LiveOptions, LiveSource

STAND_IN = "python:tests.stand_in_generator:make"
SIZE = (1, 32, 32, 32)


@pytest.fixture
def data() -> SynthAugment:
    source = LiveSource(STAND_IN, "uniform:20:60", options=LiveOptions(capacity=8, first=4, niceness=0))
    real = [{"image": torch.zeros(SIZE), "label": torch.zeros(SIZE)} for _ in range(8)]
    return SynthAugment(real, source, ratio="synthetic-then-real:0.5", epochs=4)


def ended(data: SynthAugment) -> bool:
    source: Any = data.source
    return not source.supervisor.alive and not source.folder.exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_engine_is_followed(data: SynthAugment, workers: int) -> None:
    engine_module = pytest.importorskip("ignite.engine", reason="pytorch-ignite is not installed")
    seen: list[tuple[int, int]] = []

    def step(engine: Any, batch: Any) -> None:
        seen.append((engine.state.epoch, int(batch["synthaug"]["synthetic"].sum())))

    engine = engine_module.Engine(step)
    IgniteHandler(data).attach(engine)
    engine.run(DataLoader(data, batch_size=8, num_workers=workers, persistent_workers=workers > 0), max_epochs=4)
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    assert [made > 0 for _, made in seen] == [True, True, False, False]
    assert ended(data)


def test_an_engine_that_fails_leaves_no_process(data: SynthAugment) -> None:
    engine_module = pytest.importorskip("ignite.engine", reason="pytorch-ignite is not installed")

    def step(engine: Any, batch: Any) -> None:
        raise RuntimeError("out of memory")

    engine = engine_module.Engine(step)
    IgniteHandler(data).attach(engine)
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.run(DataLoader(data, batch_size=8), max_epochs=4)
    assert ended(data)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_trainer_is_followed(data: SynthAugment, workers: int) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    seen: list[tuple[int, int]] = []

    class Model(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def validation_step(self, batch: Any, number: int) -> None:
            """Looks at nothing."""

        def training_step(self, batch: Any, number: int) -> Any:
            seen.append((self.current_epoch, int(batch["synthaug"]["synthetic"].sum())))
            return self.layer(torch.ones(1, 1)).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(max_epochs=4, callbacks=[lightning_callback(data)], **quiet)
    trainer.validate(Model(), DataLoader(data, batch_size=8), verbose=False)  # ends nothing
    trainer.fit(Model(), DataLoader(data, batch_size=8, num_workers=workers, persistent_workers=workers > 0))
    assert [epoch for epoch, _ in seen] == [0, 1, 2, 3]
    assert [made > 0 for _, made in seen] == [True, True, False, False]
    assert ended(data)
