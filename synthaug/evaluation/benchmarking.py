"""What the scripts in ``benchmarks/`` share: the types of their arguments, and the memory that a process took."""

from __future__ import annotations

import argparse
import math
import resource
import sys
from pathlib import Path


def positive(text: str) -> int:
    """A whole number above 0, as argparse takes it.

    Raises:
        argparse.ArgumentTypeError: it is not above 0.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: must be 1 or more")
    return number


def length(text: str) -> float:
    """A length in mm above 0, as argparse takes it.

    Raises:
        argparse.ArgumentTypeError: it is not above 0, or infinite.
    """
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{number}: must be more than 0")
    return number


def peak_memory_gb() -> float:
    """High-water mark of this process's resident memory."""
    status = Path("/proc/self/status")
    if status.is_file():  # the figure below would include the process that started this one
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
