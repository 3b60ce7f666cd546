"""Seconds that `import synthaug` and `synthaug --help` take beyond the interpreter's own start.

python benchmarks/import_time.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

REPEATS = 7
LIMITS_S = {"import synthaug": 0.3, "synthaug --help": 0.5}
COMMANDS = {
    "import synthaug": ["-c", "import synthaug"],
    "synthaug --help": ["-m", "synthaug", "--help"],
}


def median_s(arguments: list[str]) -> float:
    """Median wall time of a fresh interpreter with these arguments."""
    measured = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        measured.append(time.perf_counter() - start)
    return statistics.median(measured)


def main() -> int:
    """Print a line for each command; exit code 1 where one is slower than its limit."""
    start_s = median_s(["-c", "pass"])
    print(f"interpreter alone: {start_s:.3f} s")
    slow = False
    for name, arguments in COMMANDS.items():
        seconds = median_s(arguments) - start_s
        slow |= seconds > LIMITS_S[name]
        print(f"{name}: {seconds:.3f} s (limit {LIMITS_S[name]} s)")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
