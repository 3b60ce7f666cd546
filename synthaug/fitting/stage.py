"""One stage of fitting: a network, its loss, a time budget, and a checkpoint to resume from."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import load_file
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from synthaug.configuration.limits import allowed
from synthaug.files.tensors import write_tensors

logger = logging.getLogger(__name__)

CHECKPOINTS_PER_PICTURE = 5
"""A sample costs as much as a dozen steps."""

Network = TypeVar("Network", bound=nn.Module)
Loss = Callable[[Network, torch.Generator], tuple[torch.Tensor, dict[str, float]]]


@dataclass(frozen=True)
class StageSettings:
    """How long and how fast a stage learns.

    Attributes:
        share: share of the whole time budget.
        max_steps: steps after which the stage is done even if time is left.
        learning_rate: peak of a one-cycle of warm-up and cosine decay, which spans the budget whatever its length.
        warmup_steps: steps of linear warm-up.
        ema_decay: decay of the exponential moving average that is kept as the result.
        checkpoint_seconds: time between checkpoints.
    """

    share: float = field(metadata=allowed(above=0))
    max_steps: int = field(default=200_000, metadata=allowed(low=1))
    learning_rate: float = field(default=1e-3, metadata=allowed(above=0, high=1))
    warmup_steps: int = field(default=50, metadata=allowed(low=1))
    ema_decay: float = field(default=0.998, metadata=allowed(low=0, below=1))
    checkpoint_seconds: float = field(default=60.0, metadata=allowed(above=0))


class Stage(Generic[Network]):
    """Train one network until its share of the budget is spent; stop and resume at any time.

    Args:
        name: name of the network, and of its files.
        folder: where checkpoints and the result go.
        network: with fresh weights.
        loss: called with the network and the stage's random generator; gives a scalar loss and figures to log.
        settings: how long and how fast.
        budget_seconds: training time of this stage over all its runs.
        accelerator: device and precision.
        seed: seed of all draws.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        network: Network,
        loss: Loss[Network],
        settings: StageSettings,
        *,
        budget_seconds: float,
        accelerator: Accelerator,
        seed: int,
    ) -> None:
        self.name = name
        self.folder = folder
        self._loss = loss
        self._settings = settings
        self._budget = budget_seconds
        self._accelerator = accelerator
        self._spent = 0.0
        self._step = 0
        set_seed(seed)
        network = network.to(memory_format=torch.channels_last_3d)
        self._ema = deepcopy(network).requires_grad_(False).to(accelerator.device)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3
        )
        self._network, self._optimiser = accelerator.prepare(network, optimiser)
        self._generator = torch.Generator().manual_seed(seed + 1000003 * accelerator.process_index)
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    @property
    def result_path(self) -> Path:
        """Weights of the moving average; it exists once the stage is done."""
        return self.folder / f"{self.name}.safetensors"

    @property
    def _state_path(self) -> Path:
        return self.folder / f"{self.name}.resume.pt"

    def run(
        self,
        *,
        deadline: float | None = None,
        on_checkpoint: Callable[[Network, SummaryWriter, int], None] | None = None,
    ) -> Network:
        """Train, and return the moving average.

        Args:
            deadline: wall-clock time (``time.time()``) at which to stop and keep a checkpoint, done or not.
            on_checkpoint: called with the moving average, the TensorBoard writer and the step, at every fifth
                checkpoint.

        Raises:
            TimeoutError: the deadline came first; run again to go on.
        """
        if self.result_path.exists():
            self._ema.load_state_dict(load_file(self.result_path))
            return self._ema.eval()
        writer = (
            SummaryWriter(str(self.folder / "tensorboard" / self.name)) if self._accelerator.is_main_process else None
        )
        last_saved = tick = time.perf_counter()
        smooth: float | None = None
        checkpoints = 0
        while self._spent < self._budget and self._step < self._settings.max_steps:
            figures = self._train_step()
            now = time.perf_counter()
            self._spent += now - tick
            tick = now
            smooth = figures["loss"] if smooth is None else 0.98 * smooth + 0.02 * figures["loss"]
            if writer and self._step % 10 == 0:
                for key, value in figures.items():
                    writer.add_scalar(f"{self.name}/{key}", value, self._step)
            stopping = deadline is not None and time.time() > deadline
            if stopping or now - last_saved > self._settings.checkpoint_seconds:
                self._save()
                logger.info(
                    "%s: step %d, %.0f of %.0f s, loss %.4f (smoothed %.4f)",
                    self.name, self._step, self._spent, self._budget, figures["loss"], smooth,
                )  # fmt: skip
                checkpoints += 1
                if on_checkpoint and writer and checkpoints % CHECKPOINTS_PER_PICTURE == 0:
                    on_checkpoint(self._ema, writer, self._step)
                last_saved = tick = time.perf_counter()
            if stopping:
                raise TimeoutError(
                    f"{self.name} stopped at step {self._step}, {self._spent:.0f} of {self._budget:.0f} s"
                )
        if self._accelerator.is_main_process:
            write_tensors(self.result_path, self._ema.state_dict())
            self._state_path.unlink(missing_ok=True)
        return self._ema.eval()

    def _train_step(self) -> dict[str, float]:
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self._network.train()
        with self._accelerator.autocast():
            loss, figures = self._loss(self._network, self._generator)
        self._accelerator.backward(loss)
        norm = self._accelerator.clip_grad_norm_(self._network.parameters(), 1.0)
        if math.isfinite(float(norm)):
            self._optimiser.step()
        self._optimiser.zero_grad()
        self._step += 1
        self._update_ema()
        return {
            "loss": float(loss.detach()),
            "gradient_norm": float(norm),
            "learning_rate": self._learning_rate(),
            **figures,
        }

    def _learning_rate(self) -> float:
        warm = min(1.0, (self._step + 1) / self._settings.warmup_steps)
        progress = min(1.0, max(self._spent / self._budget, self._step / self._settings.max_steps))
        return self._settings.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))

    @torch.no_grad()
    def _update_ema(self) -> None:
        # Early weights are forgotten faster, so that short runs end on a useful average.
        decay = min(self._settings.ema_decay, (1 + self._step) / (10 + self._step))
        current = self._accelerator.unwrap_model(self._network).state_dict()
        for name, average in self._ema.state_dict().items():
            if average.dtype.is_floating_point:
                average.lerp_(current[name].to(average.dtype), 1 - decay)
            else:
                average.copy_(current[name])

    def _save(self) -> None:
        if not self._accelerator.is_main_process:
            return
        state = {
            "network": self._accelerator.unwrap_model(self._network).state_dict(),
            "ema": self._ema.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "generator": self._generator.get_state(),
            "step": self._step,
            "spent": self._spent,
        }
        temporary = self._state_path.with_suffix(".partial")
        torch.save(state, temporary)
        os.replace(temporary, self._state_path)

    def _resume(self) -> None:
        if self.result_path.exists() or not self._state_path.exists():
            return
        state: dict[str, Any] = torch.load(self._state_path, map_location="cpu", weights_only=True)
        self._accelerator.unwrap_model(self._network).load_state_dict(state["network"])
        self._ema.load_state_dict(state["ema"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._generator.set_state(state["generator"])
        self._step, self._spent = state["step"], state["spent"]
        logger.info("%s: resumed at step %d, %.0f s spent", self.name, self._step, self._spent)
