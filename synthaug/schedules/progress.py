"""Training progress: 0 at the first iteration, 1 after the last."""

from __future__ import annotations

from synthaug.errors import BoundsError


def check_progress(progress: float) -> float:
    """The progress itself.

    Raises:
        BoundsError: outside 0 to 1.
    """
    if not 0 <= progress <= 1:
        raise BoundsError(f"progress is {progress!r}; allowed: 0 (start of training) to 1 (end)")
    return float(progress)
