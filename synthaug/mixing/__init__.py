"""Synthetic items among the samples of a training data set."""

from synthaug.mixing.synth_augment import SynthAugment

__all__ = ["SynthAugment"]
