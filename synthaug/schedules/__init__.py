"""Schedules over the course of training: of target volumes, and of the share of synthetic cases."""

from synthaug.schedules.constant import Constant
from synthaug.schedules.empirical import Empirical
from synthaug.schedules.histogram_matching import HistogramMatching
from synthaug.schedules.missing_volumes import MissingVolumes
from synthaug.schedules.mix_schedule import PRESETS, MixSchedule, parse_mix
from synthaug.schedules.normal import Normal
from synthaug.schedules.parsing import FORMS, KINDS, parse_schedule, parse_schedule_or_missing
from synthaug.schedules.piecewise import Piecewise
from synthaug.schedules.progress import progress_of_epoch
from synthaug.schedules.uniform import LogUniform, Uniform
from synthaug.schedules.volume_schedule import VolumeSchedule

__all__ = [
    "FORMS",
    "KINDS",
    "PRESETS",
    "Constant",
    "Empirical",
    "HistogramMatching",
    "LogUniform",
    "MissingVolumes",
    "MixSchedule",
    "Normal",
    "Piecewise",
    "Uniform",
    "VolumeSchedule",
    "parse_mix",
    "parse_schedule",
    "parse_schedule_or_missing",
    "progress_of_epoch",
]
