"""JSON in one fixed form, so that equal values give equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def canonical_json(value: Any, *, indent: int | None = 1) -> str:
    """JSON in one fixed form; NumPy numbers, arrays, tuples and paths are written as plain ones.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not have.
    """
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
