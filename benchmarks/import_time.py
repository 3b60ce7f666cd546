"""Seconds that `import synthaug` and the help of each command take beyond the interpreter's own start.

python benchmarks/import_time.py
"""

from __future__ import annotations

import subprocess
import sys
import time

REPEATS = 7
HELP_LIMIT_S = 0.5
NAMES = ("sample", "precompute", "cache", "fit", "evaluate", "study", "report", "doctor", "demo")
LIMITS_S = {"import synthaug": 0.3, "synthaug --help": HELP_LIMIT_S}
LIMITS_S |= {f"synthaug {name} --help": HELP_LIMIT_S for name in NAMES}


def arguments_of(command: str) -> list[str]:
    """What the interpreter is given for it."""
    return ["-c", command] if command.startswith("import") else ["-m", *command.split()]


def fastest_s(arguments: list[str]) -> float:
    """Wall time of a fresh interpreter with these arguments: the shortest, as other work on the machine only adds."""
    measured = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        measured.append(time.perf_counter() - start)
    return min(measured)


def main() -> int:
    """Print a line for each command; exit code 1 where one is slower than its limit."""
    start_s = fastest_s(["-c", "pass"])
    print(f"interpreter alone: {start_s:.3f} s")
    slow = False
    for name, limit_s in LIMITS_S.items():
        seconds = fastest_s(arguments_of(name)) - start_s
        slow |= seconds > limit_s
        print(f"{name}: {seconds:.3f} s (limit {limit_s} s)")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
