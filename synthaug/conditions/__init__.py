"""Conditions: target volumes in mL, and the bounds that a generator sets them."""

from synthaug.conditions.condition import Condition
from synthaug.conditions.volume_bounds import VolumeBounds

__all__ = ["Condition", "VolumeBounds"]
