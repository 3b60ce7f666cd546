"""Training of one segmentation network for a number of steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional

from synthaug.fitting.stage import Stage, StageSettings, Turn
from synthaug.study.augmentation import Augmentation, augment
from synthaug.study.lessons import Lessons

_AUGMENTATION_STREAM = 0x61756721
WARMUP_SHARE = 0.1
LONGEST_WARMUP = 100
WEIGHTED_SHARE = 0.5
"""Share of the training over which the class weights of the cross-entropy go down to 1."""


@dataclass(frozen=True)
class TrainingPlan:
    """How a network learns.

    Attributes:
        steps: of the optimiser.
        batch: volumes in a step.
        learning_rate: peak of the one-cycle schedule.
        spacing_mm: voxel edges of the grid along x, y, z.
        augmentation: ranges, or None for none.
        class_weights: of background and structures in the cross-entropy, at the start of the training.
        checkpoint_seconds: time between checkpoints.
    """

    steps: int
    batch: int
    learning_rate: float
    spacing_mm: tuple[float, float, float]
    augmentation: Augmentation | None
    class_weights: tuple[float, ...]
    checkpoint_seconds: float = 30.0


def class_weights(labels: Iterable[torch.Tensor], classes: int) -> tuple[float, ...]:
    """Inverse square roots of how often each class is, so that small structures are learned in few steps.

    Args:
        labels: ``(X, Y, Z)`` uint8.
        classes: their number, background included.

    Returns:
        Weights whose mean over all voxels is 1; one that no label map has weighs as if it had a voxel.
    """
    counts = np.zeros(classes)
    for label in labels:
        counts += torch.bincount(label.flatten(), minlength=classes).numpy()
    shares = counts.clip(min=1) / counts.sum()
    weights = shares**-0.5
    return tuple(float(one) for one in weights / (weights * shares).sum())


class SegmenterStage(Stage[nn.Module]):
    """Dice and cross-entropy on whole volumes; all draws depend on seed and step.

    Args:
        folder: of checkpoints and of the weights, ``segmenter.safetensors``.
        network: with fresh weights, from images ``(B, C, X, Y, Z)`` to logits ``(B, classes, X, Y, Z)``.
        lessons: what it is shown.
        plan: how it learns.
        accelerator: device and precision.
    """

    def __init__(
        self, folder: Path, network: nn.Module, lessons: Lessons, plan: TrainingPlan, accelerator: Accelerator
    ) -> None:
        from monai.losses import DiceLoss

        self._lessons = lessons
        self._plan = plan
        self._device = accelerator.device
        self._dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
        self._class_weights = torch.tensor(plan.class_weights, device=accelerator.device)
        settings = StageSettings(
            share=1.0,
            max_steps=plan.steps,
            learning_rate=plan.learning_rate,
            warmup_steps=min(max(1, int(WARMUP_SHARE * plan.steps)), LONGEST_WARMUP),
            checkpoint_seconds=plan.checkpoint_seconds,
        )
        super().__init__(
            "segmenter",
            folder,
            network,
            [Turn(self._loss)],
            settings,
            budget_seconds=float("inf"),  # the learning rate follows steps, never the clock
            accelerator=accelerator,
            seed=lessons.seed,
        )

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images float32 ``(B, C, X, Y, Z)`` and label maps uint8 ``(B, X, Y, Z)`` of a step, on the device."""
        cases = [self._lessons.draw(step, slot, step / self._plan.steps) for slot in range(self._plan.batch)]
        image = torch.stack([one.image.float() for one in cases]).to(self._device)
        label = torch.stack([one.label for one in cases]).to(self._device)
        if self._plan.augmentation is None:
            return image, label
        seeds = ([_AUGMENTATION_STREAM, self._lessons.seed, step, slot] for slot in range(self._plan.batch))
        draws = [self._plan.augmentation.draw(np.random.default_rng(seed)) for seed in seeds]
        return augment(image, label, draws, self._plan.spacing_mm)

    def _loss(self, network: nn.Module, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Of one step; the stage's own generator is not drawn from."""
        with torch.autocast(self._device.type, enabled=False):  # places on the grid need more than half precision
            image, label = self.batch(self.step)
        logits = network(image)
        logits = logits.float()
        dice = self._dice(logits, label[:, None])
        entropy = functional.cross_entropy(logits, label.long(), weight=self._weights_at(self.step / self._plan.steps))
        return dice + entropy, {"dice_loss": float(dice.detach()), "cross_entropy": float(entropy.detach())}

    def _weights_at(self, progress: float) -> torch.Tensor:
        """Weights that help small structures to be found at first would make them too large in the end."""
        weights: torch.Tensor = self._class_weights ** max(0.0, 1 - progress / WEIGHTED_SHARE)
        return weights
