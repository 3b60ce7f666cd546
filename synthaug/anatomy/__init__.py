"""What real label maps have in common: structures of certain volumes that touch each other so far."""

from synthaug.anatomy.measures import StructureMeasures
from synthaug.anatomy.normal_range import NormalRange
from synthaug.anatomy.trend import Trend

__all__ = ["NormalRange", "StructureMeasures", "Trend"]
