"""One engine for all configurations: JSON, environment and command line into a validated dataclass tree."""

from synthaug.configuration.dumping import config_to_dict
from synthaug.configuration.limits import Limits, allowed, limits_of
from synthaug.configuration.loading import PREFIX, load_config
from synthaug.configuration.problem import InvalidConfigurationError, Problem

__all__ = [
    "PREFIX",
    "InvalidConfigurationError",
    "Limits",
    "Problem",
    "allowed",
    "config_to_dict",
    "limits_of",
    "load_config",
]
