"""The file that makes a folder a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthaug.files.json_object import read_json_object

CONFIG_NAME = "config.json"


def read_config_file(folder: Path) -> dict[str, Any]:
    """The JSON object in ``config.json`` of a generator's folder.

    Raises:
        ConfigurationError: it is missing, cannot be read, or is none.
    """
    return read_json_object(folder / CONFIG_NAME, mend="fit or fetch the generator again")
