"""A number of spoiled inputs, read by a process of their own, which is started anew where one of them ends it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SILENT_SECONDS = 600.0
"""After which a process that says nothing is hung: far beyond what a busy machine makes of five seconds."""


@dataclass
class Campaign:
    """What became of the inputs.

    Attributes:
        read: inputs that were read although they were spoiled, by reader.
        refused: inputs that were refused in one line, by reader.
        failures: of each input that did anything else: its number, reader, action, what went wrong, and how.
        longest_seconds: processor time of the slowest input.
        most_bytes: largest growth of the process's memory by one input.
    """

    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    longest_seconds: float = 0.0
    most_bytes: int = 0

    @property
    def inputs(self) -> int:
        """How many there were."""
        return self.read.total() + self.refused.total() + len(self.failures)

    def add(self, begun: dict[str, Any], ended: dict[str, Any]) -> None:
        """Count an input."""
        self.longest_seconds = max(self.longest_seconds, ended.get("seconds", 0.0))
        self.most_bytes = max(self.most_bytes, ended.get("bytes", 0))
        if ended["outcome"] == "read":
            self.read[begun["reader"]] += 1
        elif ended["outcome"] == "refused":
            self.refused[begun["reader"]] += 1
        else:
            self.failures.append({**begun, **ended})


def run_campaign(
    folder: Path, count: int, *, seed: int = 0, start: int = 0, progress: Callable[[int, Campaign], None] | None = None
) -> Campaign:
    """Read ``count`` spoiled inputs.

    Args:
        folder: for the inputs and for what is written; one of its own.
        count: how many.
        seed: of all that is random.
        start: number of the first.
        progress: called with each input's number.
    """
    campaign, end = Campaign(), start + count
    while start < end:
        start = _watch(folder, seed, start, end, campaign, progress)
    return campaign


def _watch(
    folder: Path, seed: int, start: int, end: int, campaign: Campaign, progress: Callable[[int, Campaign], None] | None
) -> int:
    """Follow one process to its end; the number of the input to go on with."""
    command = [sys.executable, "-m", "tests.fuzz.worker", "--folder", str(folder), "--seed", str(seed)]
    command += ["--start", str(start), "--count", str(end - start)]
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    log = folder / "worker.log"
    folder.mkdir(parents=True, exist_ok=True)
    begun: dict[str, Any] | None = None
    next_one, crash = start, ""
    with (
        open(log, "wb") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": path}
        ) as process,
    ):
        assert process.stdout is not None
        while True:
            ready, _, _ = select.select([process.stdout], [], [], SILENT_SECONDS)
            if not ready:
                process.kill()
                crash = "hang"
                break
            line = process.stdout.readline()
            if not line:
                break
            told = json.loads(line)
            if "reader" in told:
                begun = told
                continue
            assert begun is not None
            campaign.add(begun, told)
            next_one, begun = told["index"] + 1, None
            if progress is not None:
                progress(told["index"], campaign)
        code = process.wait()
    if begun is not None:
        last = log.read_text(errors="replace")[-2000:]
        campaign.add(begun, {"outcome": crash or f"crash ({code})", "told": last})
        return int(begun["index"]) + 1
    if code != 0 or next_one == start:
        raise RuntimeError(f"the process that reads did not start: exit code {code}\n{log.read_text(errors='replace')}")
    return next_one


def waited(started: float) -> str:
    """Time since a moment, for people."""
    return f"{time.monotonic() - started:.0f} s"
