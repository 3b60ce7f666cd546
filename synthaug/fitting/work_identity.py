"""What a folder of unfinished work was begun for, so that it is not gone on with for something else."""

from __future__ import annotations

import json
from pathlib import Path

from synthaug.errors import ConfigurationError
from synthaug.files.atomic import replace_file


def refuse_other_work(path: Path, identity: str, held: str) -> None:
    """Write down what the work is for, or compare it with what was written.

    Args:
        path: file in the folder of the work.
        identity: JSON text that is the same for the same work.
        held: what the folder holds where it differs.

    Raises:
        ConfigurationError: it differs, or is damaged.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, identity.encode())
        return
    found = path.read_bytes().decode("utf-8", errors="replace")
    if found == identity:
        return
    refuse_damaged(path, found)
    raise ConfigurationError(f"{path.parent} holds {held}; choose another folder, or delete this one to start anew")


def refuse_damaged(path: Path, content: str) -> None:
    """Refuse what is no JSON: a file that was cut off or emptied tells nothing of the work.

    Raises:
        ConfigurationError: names the file.
    """
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{path} is damaged; restore it, or delete {path.parent} to start anew") from None
