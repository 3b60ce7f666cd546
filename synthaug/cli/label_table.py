"""A file that settles by hand which label a structure becomes."""

from __future__ import annotations

from pathlib import Path

from synthaug.errors import ConfigurationError
from synthaug.files.json_object import read_json_object


def read_label_table(path: Path | None, option: str) -> dict[str, str] | None:
    """Label by structure, from a JSON file; None where there is no file.

    Args:
        path: the file.
        option: that named it, for errors.

    Raises:
        ConfigurationError: the file cannot be read, or is no object of texts.
    """
    if path is None:
        return None
    try:
        table = read_json_object(path, mend="write {structure: label}")
    except ConfigurationError as error:
        raise ConfigurationError(f"{option} {error}") from None
    if not all(isinstance(value, str) for value in table.values()):
        raise ConfigurationError(f"{option} {path}: write one object that gives a label's name for each structure")
    return table
