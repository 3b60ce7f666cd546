"""Quality control: what a generated pair must satisfy before it is stored or trained on."""

from synthaug.quality.checks import CHECKS, check_pair
from synthaug.quality.configuration import QualityConfig
from synthaug.quality.gate import (
    CheckedPair,
    attempt_seed,
    generate_checked,
    generate_checked_batch,
    judge,
    limits_for,
    make_pairs,
)
from synthaug.quality.report import QualityReport

__all__ = [
    "CHECKS",
    "CheckedPair",
    "QualityConfig",
    "QualityReport",
    "attempt_seed",
    "check_pair",
    "generate_checked",
    "generate_checked_batch",
    "judge",
    "limits_for",
    "make_pairs",
]
