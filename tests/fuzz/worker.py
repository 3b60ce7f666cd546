"""The process that reads spoiled inputs: what it does wrong, down to a crash, is told by the process that watches it.

One line of JSON before each input and one after it go to the standard output.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.cli.app import run
from synthaug.errors import SynthAugError
from tests.fuzz.readers import READERS, Action, Reader
from tests.fuzz.sound_files import write_sound

ALLOWED_CODES = (0, 1, 2)
MOST_BYTES = 1 << 30
MOST_SECONDS = 5.0
"""Of the processor: other work on the machine must not look like a hang. A wait is seen by the watching process."""
ADDRESS_SPACE = 6 << 30
"""Beyond what the libraries take: what asks for more is refused by the system."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {
    "os.mkdir": 0,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.link": 1,
    "os.symlink": 1,
    "os.truncate": 0,
    "os.chmod": 0,
}


class WriteWatch:
    """Notes what is opened for writing, made, moved or removed outside the folder where it may be."""

    def __init__(self) -> None:
        self.target: Path | None = None
        self.outside: list[str] = []
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.target is None:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = (
                any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITING)
            )
            if writes:
                self._note(path)
        elif event == "os.rename":
            self._note(arguments[0])
            self._note(arguments[1])
        elif event in _CHANGING:
            self._note(arguments[_CHANGING[event]])
        elif event == "subprocess.Popen" and list(arguments[1])[-1:] == ["hostname"]:
            pass  # nnU-Net asks for it where it counts processors
        elif event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect"):
            self.outside.append(f"{event} {arguments[:2]!r}")

    def _note(self, path: Any) -> None:
        if isinstance(path, int) or self.target is None:
            return
        text = os.path.realpath(os.fsdecode(path))
        if not text.startswith((str(self.target), "/dev/", "/proc/")) and "__pycache__" not in text:
            self.outside.append(text)


def choose(index: int, seed: int) -> tuple[Reader, np.random.Generator]:
    """The reader of an input, and the generator of all that is random about it."""
    rng = np.random.default_rng([seed, index])
    weights = np.array([reader.weight for reader in READERS], float)
    return READERS[int(rng.choice(len(READERS), p=weights / weights.sum()))], rng


def attempt(action: Action, watch: WriteWatch, out: Path) -> tuple[str, str]:
    """Outcome (``read``, ``refused`` or what is wrong), and the message or traceback."""
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stderr = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    outcome, told = "read", ""
    watch.outside.clear()
    watch.target = out
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            if callable(action):
                try:
                    action()
                except (SynthAugError, FileNotFoundError) as error:
                    outcome, told = "refused", str(error)
            else:
                code = run(action)
                outcome = "read" if code == 0 else "refused"
                if code not in ALLOWED_CODES:
                    outcome = f"exit code {code}"
    except BaseException:
        return "traceback", traceback.format_exc()
    finally:
        watch.target = None
    if watch.outside:
        return "written outside", "; ".join(watch.outside[:5])
    if not callable(action):
        stderr.flush()
        told = stderr.buffer.getvalue().decode()
        if "Traceback" in told:
            return "traceback", told
    if outcome == "refused" and not callable(action) and code == 2:
        lines = told.strip().splitlines()
        if not lines or not lines[-1].startswith("synthaug: "):
            return "not one line", told
    return outcome, told


def peak_bytes() -> int:
    """The most memory that the process held since ``reset_peak``."""
    return next(int(line.split()[1]) * 1024 for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))


def reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def inputs(folder: Path, seed: int, start: int, count: int, watch: WriteWatch) -> Iterator[dict[str, Any]]:
    """Read inputs one by one; tells of each before and after."""
    sound = folder / "sound"
    shutil.rmtree(sound, ignore_errors=True)
    sound.mkdir(parents=True)
    write_sound(sound)
    for index in range(start, start + count):
        reader, rng = choose(index, seed)
        here, out = folder / "in", folder / "out"
        for place in (here, out):
            shutil.rmtree(place, ignore_errors=True)
        here.mkdir()
        out.mkdir()
        for part in reader.parts:
            if (sound / part).is_dir():
                shutil.copytree(sound / part, here / part, symlinks=True)
            else:
                shutil.copyfile(sound / part, here / part)
        text = reader.spoil(here, rng)
        action = reader.actions[int(rng.integers(0, len(reader.actions)))](here, out, text)
        described = action if isinstance(action, list) else getattr(action, "__qualname__", "function")
        yield {"index": index, "reader": reader.name, "action": described}
        os.chdir(here)  # a study names its data set relative to it
        reset_peak()
        before, started = peak_bytes(), time.process_time()
        outcome, told = attempt(action, watch, out)
        seconds, grown = time.process_time() - started, peak_bytes() - before
        os.chdir(folder)
        if outcome in ("read", "refused"):
            if seconds > MOST_SECONDS:
                outcome = "hang"
            elif grown > MOST_BYTES:
                outcome = "memory"
        yield {"index": index, "outcome": outcome, "told": told[-3000:], "seconds": seconds, "bytes": grown}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--count", type=int, required=True)
    given = parser.parse_args()
    lines, watch = os.fdopen(os.dup(1), "w"), WriteWatch()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what native code prints is no answer
    warm = ["sample", "--generator", "no-such-generator", "--target", "x=1", "--out", str(given.folder / "out")]
    with contextlib.redirect_stderr(io.StringIO()):
        run(warm)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, used + ADDRESS_SPACE))
    for told in inputs(given.folder, given.seed, given.start, given.count, watch):
        lines.write(json.dumps(told) + "\n")
        lines.flush()


if __name__ == "__main__":
    main()
