"""Files that a study keeps for itself, and can make anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_kept(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where the file is missing or damaged, so that it is made anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
