"""The file that makes a folder a generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synthaug.errors import ConfigurationError

CONFIG_NAME = "config.json"


def read_config_file(folder: Path) -> dict[str, Any]:
    """The JSON object in ``config.json`` of a generator's folder.

    Raises:
        ConfigurationError: it is missing, cannot be read, or is none.
    """
    path = folder / CONFIG_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} is missing; name a folder that `synthaug fit` wrote") from error
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not valid JSON ({error}); fit or fetch the generator again") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} holds no JSON object; fit or fetch the generator again")
    return content
