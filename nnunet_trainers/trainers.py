"""The trainers that ``nnUNetv2_train -tr NAME`` accepts. Only the seams: what they do is in ``SynthAugMixin``."""

from __future__ import annotations

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from synthaug.integrations.nnunet.mixin import SynthAugMixin

__all__ = ["nnUNetTrainerSynthAug", "nnUNetTrainerSynthAugOnly", "nnUNetTrainerSynthAugPretrain"]


class nnUNetTrainerSynthAug(SynthAugMixin, nnUNetTrainer):
    """Stock nnU-Net with synthetic cases among the training cases: half of the draws, unless configured."""


class nnUNetTrainerSynthAugOnly(SynthAugMixin, nnUNetTrainer):
    """Trains on synthetic cases alone; validation is real."""

    synthaug_mix = "synthetic"


class nnUNetTrainerSynthAugPretrain(SynthAugMixin, nnUNetTrainer):
    """Trains on synthetic cases first and on real ones for the rest; validation is real."""

    synthaug_mix = "synthetic-then-real"
