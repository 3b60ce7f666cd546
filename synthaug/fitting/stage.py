"""One stage of fitting: a network, its loss, a time budget, and a checkpoint to resume from."""

from __future__ import annotations

import logging
import math
import pickle
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from synthaug.configuration.limits import allowed
from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.files.tensors import write_state, write_tensors
from synthaug.networks.memory_format import with_channels_last
from synthaug.networks.thin_convolutions import guard_thin_convolutions

logger = logging.getLogger(__name__)

MOST_SKIPPED = 10
"""Steps in a row whose gradient is not finite: one may be, of an unlucky draw; so many tell of broken input."""

CHECKPOINTS_PER_PICTURE = 5
"""A sample costs as much as a dozen steps."""

Network = TypeVar("Network", bound=nn.Module)
Loss = Callable[[Network, torch.Generator], tuple[torch.Tensor, dict[str, float]]]


class DeadlineReached(TimeoutError):
    """A training stopped at its deadline, with a checkpoint to go on from; no time-out of a file system is one."""


@dataclass(frozen=True)
class Turn(Generic[Network]):
    """What is minimised in a step, over some of a network's children: adversaries learn in turns.

    Attributes:
        loss: called with the whole network.
        children: names of those that learn; empty: all of the network does.
    """

    loss: Loss[Network]
    children: tuple[str, ...] = ()

    def parameters(self, network: nn.Module) -> list[nn.Parameter]:
        """Parameters that learn."""
        parts = [getattr(network, name) for name in self.children] or [network]
        return [parameter for part in parts for parameter in part.parameters()]


@dataclass(frozen=True)
class StageSettings:
    """How long and how fast a stage learns.

    Attributes:
        share: share of the whole time budget.
        max_steps: steps after which the stage is done even if time is left.
        learning_rate: peak of a one-cycle of warm-up and cosine decay, which spans the budget whatever its length.
        warmup_steps: steps of linear warm-up.
        betas: of the optimiser's moving averages; adversaries take a lower first one.
        ema_decay: decay of the exponential moving average that is kept as the result.
        checkpoint_seconds: time between checkpoints.
    """

    share: float = field(metadata=allowed(above=0))
    max_steps: int = field(default=200_000, metadata=allowed(low=1))
    learning_rate: float = field(default=1e-3, metadata=allowed(above=0, high=1))
    warmup_steps: int = field(default=50, metadata=allowed(low=1))
    betas: tuple[float, float] = field(default=(0.9, 0.99), metadata=allowed(low=0, below=1))
    ema_decay: float = field(default=0.998, metadata=allowed(low=0, below=1))
    checkpoint_seconds: float = field(default=60.0, metadata=allowed(above=0))


class Stage(Generic[Network]):
    """Train one network until its share of the budget is spent; stop and resume at any time.

    Args:
        name: name of the network, and of its files.
        folder: where checkpoints and the result go.
        network: with fresh weights.
        turns: of each step, one after the other; their losses are called with the network and the stage's random
            generator, and give a scalar and figures to log. Turns of the same children share an optimiser.
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
        turns: Sequence[Turn[Network]],
        settings: StageSettings,
        *,
        budget_seconds: float,
        accelerator: Accelerator,
        seed: int,
    ) -> None:
        self.name = name
        self.folder = folder
        self._turns = tuple(turns)
        self._settings = settings
        self._budget = budget_seconds
        self._accelerator = accelerator
        self._spent = 0.0
        self._step = 0
        self._skipped = 0
        self._skipped_in_a_row: dict[tuple[str, ...], int] = {}
        set_seed(seed)
        network = with_channels_last(network)
        guard_thin_convolutions(network)
        self._ema = deepcopy(network).requires_grad_(False).to(accelerator.device)
        optimisers = {
            turn.children: torch.optim.AdamW(
                turn.parameters(network), lr=settings.learning_rate, betas=settings.betas, weight_decay=1e-3
            )
            for turn in turns
        }
        self._network, *prepared = accelerator.prepare(network, *optimisers.values())
        self._optimisers = dict(zip(optimisers, prepared, strict=True))
        self._learners = {turn.children: turn.parameters(network) for turn in turns}
        self._generator = torch.Generator().manual_seed(seed + 1000003 * accelerator.process_index)
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    @property
    def step(self) -> int:
        """Steps that were made, over all runs."""
        return self._step

    @property
    def skipped_steps(self) -> int:
        """Steps, of any optimiser, that were left out because their gradient was not finite, over all runs."""
        return self._skipped

    @property
    def spent_seconds(self) -> float:
        """Training time of these steps."""
        return self._spent

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
            DeadlineReached: the deadline came first; run again to go on.
            SynthAugError: `MOST_SKIPPED` steps in a row had no finite gradient.
        """
        if self.result_path.exists():
            try:
                self._ema.load_state_dict(load_file(self.result_path))
            except (SafetensorError, RuntimeError, OSError) as error:
                raise ConfigurationError(_damaged(self.result_path)) from error
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
                goal = f"of {self._budget:.0f} s" if math.isfinite(self._budget) else "s"
                logger.info(
                    "%s: step %d, %.0f %s, loss %.4f (smoothed %.4f)",
                    self.name, self._step, self._spent, goal, figures["loss"], smooth,
                )  # fmt: skip
                checkpoints += 1
                if on_checkpoint and writer and checkpoints % CHECKPOINTS_PER_PICTURE == 0:
                    on_checkpoint(self._ema, writer, self._step)
                last_saved = tick = time.perf_counter()
            if stopping:
                raise DeadlineReached(
                    f"{self.name} stopped at step {self._step}, {self._spent:.0f} of {self._budget:.0f} s"
                )
        if self._accelerator.is_main_process:
            write_tensors(self.result_path, self._ema.state_dict())
            self._state_path.unlink(missing_ok=True)
        return self._ema.eval()

    def _train_step(self) -> dict[str, float]:
        self._network.train()
        figures = {"learning_rate": self._learning_rate()}
        for turn in self._turns:
            figures = {**self._take(turn), **figures}  # the loss of the first turn is the one that is shown
        self._step += 1
        self._update_ema()
        return figures

    def _take(self, turn: Turn[Network]) -> dict[str, float]:
        """One step of an optimiser, and the figures of its loss."""
        optimiser, learners = self._optimisers[turn.children], self._learners[turn.children]
        for group in optimiser.param_groups:
            group["lr"] = self._learning_rate()
        if len(self._optimisers) > 1:  # no gradients for those whose turn it is not
            self._network.requires_grad_(False)
            for parameter in learners:
                parameter.requires_grad_(True)
        with self._accelerator.autocast():
            loss, figures = turn.loss(self._network, self._generator)
        self._accelerator.backward(loss)
        norm = self._accelerator.clip_grad_norm_(learners, 1.0)
        if math.isfinite(float(norm)):
            optimiser.step()
            self._skipped_in_a_row[turn.children] = 0
        else:
            self._skip(turn, float(loss.detach()))
        optimiser.zero_grad()
        return {"loss": float(loss.detach()), "gradient_norm": float(norm), **figures}

    def _skip(self, turn: Turn[Network], loss: float) -> None:
        self._skipped += 1
        in_a_row = self._skipped_in_a_row.get(turn.children, 0) + 1
        self._skipped_in_a_row[turn.children] = in_a_row
        logger.warning("%s: step %d is left out, its gradient is not finite (loss %g)", self.name, self._step, loss)
        if in_a_row >= MOST_SKIPPED:
            raise SynthAugError(
                f"{self.name}: the last {in_a_row} steps up to step {self._step} had no finite gradient "
                f"(loss {loss:g}); look for broken intensities among the cases, or lower the learning rate"
            )

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
            "optimisers": [one.state_dict() for one in self._optimisers.values()],
            "generator": self._generator.get_state(),
            "step": self._step,
            "spent": self._spent,
            "skipped": self._skipped,
        }
        write_state(self._state_path, state)

    def _resume(self) -> None:
        if self.result_path.exists() or not self._state_path.exists():
            return
        try:
            state: dict[str, Any] = torch.load(self._state_path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise ConfigurationError(_damaged(self._state_path)) from error
        self._accelerator.unwrap_model(self._network).load_state_dict(state["network"])
        self._ema.load_state_dict(state["ema"])
        for optimiser, kept in zip(self._optimisers.values(), state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self._generator.set_state(state["generator"])
        self._step, self._spent = state["step"], state["spent"]
        self._skipped = state.get("skipped", 0)
        logger.info("%s: resumed at step %d, %.0f s spent", self.name, self._step, self._spent)


def _damaged(path: Path) -> str:
    return f"{path} is damaged; delete it, and its stage begins anew"
