"""What a folder of unfinished work was begun for, so that it is not gone on with for something else."""

from __future__ import annotations

from pathlib import Path

from synthaug.errors import ConfigurationError
from synthaug.files.atomic import replace_file


def refuse_other_work(path: Path, identity: str, held: str) -> None:
    """Write down what the work is for, or compare it with what was written.

    Args:
        path: file in the folder of the work.
        identity: text that is the same for the same work.
        held: what the folder holds where it differs.

    Raises:
        ConfigurationError: it differs.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, identity.encode())
    elif path.read_text(encoding="utf-8") != identity:
        raise ConfigurationError(f"{path.parent} holds {held}; choose another folder, or delete this one to start anew")
