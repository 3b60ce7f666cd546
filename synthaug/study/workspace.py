"""The folder of a study: what it was begun for, its runs, and who works on which."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.errors import ConfigurationError
from synthaug.files.atomic import replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.fitting.work_identity import refuse_damaged, refuse_other_work
from synthaug.store.claims import Claims
from synthaug.study.arms import Run
from synthaug.study.tested_case import TestedCase

STUDY_FILE = "study.json"
RESULT_FILE = "result.json"
SURVEY_FILES = ("cases.json", "transfer_cases.json")
"""Written before the study is known to be sound."""


@dataclass(frozen=True)
class RunResult:
    """What came of a run.

    Attributes:
        steps: that were made.
        is_short: whether its budget was spent before its steps were made; its figures are not compared.
        seconds: of training.
        budget_seconds: that it had, or None.
        pairs: number of synthetic pairs that it could draw from.
        tested: figures of the test cases.
        notes: what readers of the results are to know of the pairs.
        trained_on: kind of device and floating-point type, such as ``cpu in bfloat16``; of a training that moved, the
            last ones. Empty where nnU-Net decided.
    """

    steps: int
    is_short: bool
    seconds: float
    budget_seconds: float | None
    pairs: int
    tested: tuple[TestedCase, ...]
    notes: tuple[str, ...] = ()
    trained_on: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` reads it back."""
        return {**vars(self), "tested": [one.to_dict() for one in self.tested], "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> RunResult:
        """The inverse of `to_dict`."""
        tested = tuple(TestedCase.from_dict(one) for one in found["tested"])
        plain = {key: found[key] for key in ("steps", "is_short", "seconds", "budget_seconds", "pairs")}
        trained_on = found.get("trained_on", "")  # folders of earlier versions lack it
        return cls(**plain, tested=tested, notes=tuple(found["notes"]), trained_on=trained_on)


class Workspace:
    """``study.json``, ``runs/NAME/{run.json, result.json}``, ``claims/NAME``, ``caches/``, ``prepared/``, ``report/``.

    Args:
        folder: of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, study: Mapping[str, Any], cases: Mapping[str, Any], runs: Collection[Run]) -> None:
        """Write down what the folder is for. A study may gain runs, and change while none has begun.

        Args:
            study: its file, JSON-ready.
            cases: content of its cases, JSON-ready.
            runs: all of its runs.

        Raises:
            ConfigurationError: runs that are there are not of this study, or not of these cases.
        """
        path, text = self.folder / STUDY_FILE, canonical_json({"study": study, "cases": cases})
        begun = self._begun()
        self._refuse_other_runs(runs)
        if begun is not None and self._run_names() and begun.get("cases") != json.loads(canonical_json(cases)):
            raise ConfigurationError(
                f"--out {self.folder}: holds runs that were begun with other cases; restore these, or choose another "
                "folder"
            )
        if begun != json.loads(text):
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode())

    def require(self, runs: Collection[Run]) -> None:
        """Refuse to collect another study, or none.

        Args:
            runs: of the study that is collected.

        Raises:
            ConfigurationError: says which it is.
        """
        if self._begun() is None:
            raise ConfigurationError(f"--out {self.folder}: holds no study, so there is nothing to collect")
        self._refuse_other_runs(runs)

    def _begun(self) -> dict[str, Any] | None:
        """What the folder is for; None where it is for nothing yet."""
        path = self.folder / STUDY_FILE
        try:
            text = path.read_bytes().decode("utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        refuse_damaged(path, text)
        found = json.loads(text)
        return found if isinstance(found, dict) else {}

    def _run_names(self) -> set[str]:
        runs = self.folder / "runs"
        return {one.parent.name for one in runs.glob("*/run.json")} if runs.is_dir() else set()

    def _refuse_other_runs(self, runs: Collection[Run]) -> None:
        if others := sorted(self._run_names() - {run.name for run in runs}):
            raise ConfigurationError(
                f"--out {self.folder}: holds another study, with {len(others)} run(s) that this one has not "
                f"({', '.join(others[:3])}); give the file that it was begun with, which may gain runs, or "
                "choose another folder"
            )

    def refuse_foreign(self) -> None:
        """Refuse a folder that holds something else than a study.

        Raises:
            ConfigurationError: says so.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigurationError(f"--out {self.folder}: is a file; give a folder, which is made if it is not there")
        entries = self.folder.iterdir() if self.folder.is_dir() else ()
        present = {one.name for one in entries if not one.name.startswith(".")}  # of a process that was killed
        if STUDY_FILE not in present and not present <= set(SURVEY_FILES):
            raise ConfigurationError(
                f"--out {self.folder}: holds other files and no {STUDY_FILE}; give a new or empty folder"
            )

    def claims(self) -> Claims:
        """Who works on which run."""
        return Claims(self.folder / "claims")

    def run_folder(self, run: Run) -> Path:
        """Folder of a run."""
        return self.folder / "runs" / run.name

    def begin_run(self, run: Run, content: Mapping[str, Any]) -> Path:
        """Write down what a run is, and give its folder.

        Args:
            run: to be made or continued.
            content: of the cases and pairs that it is made from.

        Raises:
            ConfigurationError: it was begun with other cases or pairs.
        """
        folder = self.run_folder(run)
        text = canonical_json({**run.identity, "content": content})
        refuse_other_work(folder / "run.json", text, "a run that was begun with other cases or pairs")
        return folder

    def finish_run(self, run: Run, result: RunResult) -> None:
        """Write the result, after everything else."""
        replace_file(self.run_folder(run) / RESULT_FILE, canonical_json(result.to_dict()).encode())

    def result(self, run: Run) -> RunResult | None:
        """The result of a run, if it is there.

        Raises:
            ConfigurationError: the file is damaged.
        """
        path = self.run_folder(run) / RESULT_FILE
        try:
            return RunResult.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{path} is damaged ({error}); delete it, and its run is made anew") from None

    def results(self, runs: Iterable[Run]) -> dict[Run, RunResult]:
        """The results that are there."""
        found = {run: self.result(run) for run in runs}
        return {run: result for run, result in found.items() if result is not None}
