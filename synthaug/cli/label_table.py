"""A file that settles by hand which label a structure becomes."""

from __future__ import annotations

import json
from pathlib import Path

from synthaug.errors import ConfigurationError


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
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{option} {path}: cannot be read ({error.strerror}); give a JSON file {{structure: label}}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{option} {path}: is not JSON ({error}); write {{structure: label}}") from None
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ConfigurationError(f"{option} {path}: write one object that gives a label's name for each structure")
    return table
