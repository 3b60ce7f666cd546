"""Stages whose parts learn in turns, and stop and resume between any two steps."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from synthaug.errors import SynthAugError
from synthaug.fitting.stage import Stage, StageSettings, Turn

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


class Game(nn.Module):
    """Two players with one number each."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)


def towards(game: Game, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
    """Both numbers are wanted to be 3."""
    noise = 0.01 * torch.randn(1, generator=generator)
    weights = torch.cat([game.first.weight, game.second.weight])
    return (weights - 3 + noise).square().sum(), {"wanted": 3.0}


def stage(folder: Path, turns: list[Turn[Game]], steps: int = 60) -> Stage[Game]:
    torch.manual_seed(0)
    settings = StageSettings(share=1.0, max_steps=steps, learning_rate=0.1, warmup_steps=1, ema_decay=0.5)
    return Stage(
        "game", folder, Game(), turns, settings, budget_seconds=1000, accelerator=Accelerator(cpu=True), seed=0
    )


def test_only_those_learn_whose_turn_it_is(tmp_path: Path) -> None:
    stage(tmp_path / "fresh", [Turn(towards)])  # seeds as the others do
    before = float(Game().second.weight)
    learned = stage(tmp_path / "one", [Turn(towards, ("first",))]).run()
    assert float(learned.first.weight) == pytest.approx(3, abs=0.3)
    assert float(learned.second.weight) == pytest.approx(before)
    both = stage(tmp_path / "two", [Turn(towards, ("first",)), Turn(towards, ("second",))]).run()
    assert [float(both.first.weight), float(both.second.weight)] == pytest.approx([3, 3], abs=0.3)


def test_a_stage_that_is_stopped_gives_what_one_run_gives(tmp_path: Path) -> None:
    turns = [Turn(towards, ("first",)), Turn(towards, ("second",)), Turn(towards, ("first",))]
    whole = stage(tmp_path / "whole", turns, steps=4).run()
    for _ in range(3):
        with pytest.raises(TimeoutError, match="game stopped at step"):
            stage(tmp_path / "parts", turns, steps=4).run(deadline=time.time() - 1)
    parts = stage(tmp_path / "parts", turns, steps=4).run()
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        # the learning rate follows the time that was spent, a millionth of the budget
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_steps_without_a_gradient_are_counted_and_many_in_a_row_end_the_stage(tmp_path: Path) -> None:
    broken = {3}

    def sometimes(game: Game, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        loss, figures = towards(game, generator)
        return (loss * float("nan") if made.step in broken else loss), figures

    made = stage(tmp_path / "once", [Turn(sometimes)], steps=10)
    assert bool(made.run().first.weight.isfinite())
    assert made.skipped_steps == 1
    broken |= set(range(4, 60))
    made = stage(tmp_path / "always", [Turn(sometimes)])
    with pytest.raises(SynthAugError, match=r"game: the last 10 steps .*no finite gradient"):
        made.run()
    assert made.step == 12
