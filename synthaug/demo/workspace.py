"""The demo's own folder, with nnU-Net's three folders in it, and the commands that run there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from synthaug.errors import SynthAugError

LAST_LINES = 12


class Workspace:
    """A folder with nnU-Net's trees, a cache, logs and results; nothing is written outside it.

    Args:
        folder: made where it does not exist.
        console: where the commands and their times are shown.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder.resolve()
        self.console = console
        self.raw = self.folder / "nnUNet_raw"
        self.preprocessed = self.folder / "nnUNet_preprocessed"
        self.results = self.folder / "nnUNet_results"
        self.cache = self.folder / "cache"
        self.logs = self.folder / "logs"
        for path in (self.raw, self.preprocessed, self.results, self.logs):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """What nnU-Net reads; two worker processes, since each costs the memory of an interpreter with torch."""
        return {
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.results),
            "nnUNet_n_proc_DA": "1",
            "nnUNet_def_n_proc": "2",
            "PYTHONWARNINGS": "ignore",
        }

    def heading(self, text: str) -> None:
        """Say which part of the demo begins."""
        self.console.print(f"\n[bold cyan]{text}[/]", highlight=False)

    def run(
        self, command: Sequence[str], *, extra: Mapping[str, str] | None = None, accepted: Sequence[int] = (0,)
    ) -> Path:
        """Run a command of this environment, showing it and how long it took.

        Args:
            command: name of a console script of this environment (or ``synthaug``), and its arguments.
            extra: further environment variables; they are shown in front of the command.
            accepted: exit codes that are no failure.

        Returns:
            The log file with all that it printed.

        Raises:
            SynthAugError: it failed; the message ends with its last lines.
        """
        number = len(list(self.logs.iterdir()))
        log = self.logs / f"{number:02d}_{command[0]}.log"
        shown = " ".join([*(f"{key}={value}" for key, value in (extra or {}).items()), shlex.join(command)])
        self.console.print(f"[bold]$[/] {shown}", highlight=False, soft_wrap=True)
        start = time.monotonic()
        with open(log, "wb") as output, self.console.status("running ..."):
            finished = subprocess.run(
                [*_executable(command[0]), *command[1:]],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment, **(extra or {})},
                check=False,
            )
        if finished.returncode not in accepted:
            lines = log.read_text(errors="replace").rstrip().splitlines()[-LAST_LINES:]
            raise SynthAugError(
                f"{command[0]} ended with exit code {finished.returncode}; all it printed is in {log}, which ends:\n"
                + "\n".join(lines)
            )
        self.console.print(f"  {time.monotonic() - start:.0f} s", style="dim", highlight=False)
        return log


def _executable(name: str) -> list[str]:
    """The console script of this interpreter's environment, which need not be on the PATH."""
    if name == "synthaug":
        return [sys.executable, "-m", "synthaug"]
    folders = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ.get("PATH", ""))
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise SynthAugError(f"{name}: not found in this environment; pip install nnunetv2")
    return [found]
