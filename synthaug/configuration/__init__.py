"""One engine for all configurations: JSON, environment and command line into a validated dataclass tree."""

from synthaug.configuration.dumping import config_to_dict
from synthaug.configuration.loading import PREFIX, load_config, read_json_file
from synthaug.configuration.problem import InvalidConfigurationError, Problem
from synthaug.configuration.setting import Limits, limits_of, setting

__all__ = [
    "PREFIX",
    "InvalidConfigurationError",
    "Limits",
    "Problem",
    "config_to_dict",
    "limits_of",
    "load_config",
    "read_json_file",
    "setting",
]
