"""Training progress: 0 at the beginning, 1 at the end."""

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


def progress_of_epoch(epoch: int, epochs: int) -> float:
    """Progress at the middle of an epoch, which holds for all of it; 1 beyond the last.

    Args:
        epoch: from 0.
        epochs: of the training.
    """
    return min(1.0, (epoch + 0.5) / max(1, epochs))
