"""A run of a study by nnU-Net's own command, with the trainers of this project."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.files.atomic import replace_file
from synthaug.generators.cases import CasePaths
from synthaug.integrations.nnunet.dataset import NnunetDataset, file_ending
from synthaug.integrations.nnunet.run_configuration import FILE_NAME, RunConfiguration, write_configuration
from synthaug.schedules import MixSchedule
from synthaug.study.bookkeeping import read_kept
from synthaug.study.held_out import HeldOut
from synthaug.study.pair_cache import PairCache
from synthaug.study.segmenters import NnunetSegmenter
from synthaug.study.tested_case import TestedCase
from synthaug.volumes import read_label
from synthaug.volumes.geometry import voxel_volume_ml

TRAINER = "nnUNetTrainerSynthAug"
TRAINERS = {"synthetic": "nnUNetTrainerSynthAugOnly", "synthetic-then-real": "nnUNetTrainerSynthAugPretrain"}
"""By kind of mix; all others are left to `TRAINER`."""

SPLITS = "splits_final.json"
SPENT_FILE = "spent.json"
LAST_LINES = 3


def check_nnunet(dataset: NnunetDataset, segmenter: NnunetSegmenter) -> None:
    """Refuse what ``nnUNetv2_train`` could not begin with.

    Raises:
        ConfigurationError: nnU-Net does not find the data set, it is not planned, the plans lack the configuration, or
            it is not preprocessed.
    """
    if dataset.raw == dataset.preprocessed:
        raise ConfigurationError(
            f"segmenters.nnunet: {dataset.raw} is a folder outside nnUNet_raw, where nnUNetv2_train finds no data set; "
            "move it there, plan and preprocess it, and give its number"
        )
    plans = dataset.plans(segmenter.plans)
    known = plans.get("configurations", {})
    if segmenter.configuration not in known:
        raise ConfigurationError(
            f"segmenters.nnunet.configuration: {segmenter.plans} of {dataset.name} has no "
            f"{segmenter.configuration!r}; it has {', '.join(known)}"
        )
    identifier = known[segmenter.configuration].get("data_identifier", f"{segmenter.plans}_{segmenter.configuration}")
    if not (dataset.preprocessed / str(identifier)).is_dir():
        raise ConfigurationError(
            f"segmenters.nnunet: {dataset.preprocessed / str(identifier)} is not there; run nnUNetv2_preprocess for "
            f"{dataset.name}"
        )


@dataclass(frozen=True)
class NnunetTraining:
    """A training with folders of its own, so that its split and its configuration are nobody else's.

    Attributes:
        folder: of the run; holds ``preprocessed`` (links to the planned data set, with the split of the study),
            ``results`` and ``train.log``.
        segmenter: how nnU-Net is called.
        held: the data set, and its test cases, on which the fold is validated.
        training: cases that are trained on.
        cache: pairs that the trainer draws from.
        mix: share of synthetic cases over the training.
        seed: of the draws; nnU-Net itself takes none.
        steps: of the optimiser.
        device: of the training.
    """

    folder: Path
    segmenter: NnunetSegmenter
    held: HeldOut
    training: tuple[CasePaths, ...]
    cache: PairCache
    mix: MixSchedule
    seed: int
    steps: int
    device: torch.device

    @property
    def trainer(self) -> str:
        """Class that nnU-Net is told to take."""
        return TRAINERS.get(self.mix.name.split(":")[0], TRAINER)

    @property
    def output(self) -> Path:
        """nnU-Net's folder of the fold."""
        name = f"{self.trainer}__{self.segmenter.plans}__{self.segmenter.configuration}"
        return self.folder / "results" / self.held.dataset.name / name / "fold_0"

    @property
    def spent_seconds(self) -> float:
        """Time of all calls of the command that ended, or were interrupted, so far."""
        found = read_kept(self.folder / SPENT_FILE).get("seconds", 0.0)
        return float(found) if isinstance(found, (int, float)) else 0.0

    def train(self, budget_seconds: float | None) -> bool:
        """Run ``nnUNetv2_train``, which ends with the segmentations of the test cases; go on if it was interrupted.

        Args:
            budget_seconds: most time of all calls together; None for any.

        Returns:
            Whether it ended within the budget.

        Raises:
            SynthAugError: it failed; names the log.
        """
        if self._is_validated:
            return True
        left = None if budget_seconds is None else budget_seconds - self.spent_seconds
        if left is not None and left <= 0:
            return False
        self._prepare()
        command = [
            *_console_script("nnUNetv2_train"), self.held.dataset.name, self.segmenter.configuration, "0",
            "-tr", self.trainer, "-p", self.segmenter.plans, "-device", self.device.type,
        ]  # fmt: skip
        if any((self.output / f"checkpoint_{name}.pth").is_file() for name in ("latest", "final")):
            command.append("--c")
        log = self.folder / "train.log"
        before, began = self.spent_seconds, time.monotonic()
        try:
            code = _call(command, self._environment(), log, left)
        finally:
            spent = {"seconds": before + time.monotonic() - began}
            replace_file(self.folder / SPENT_FILE, json.dumps(spent).encode())
        if code is None:
            return False
        if code or not self._is_validated:
            last = " / ".join(log.read_text(errors="replace").split("\n")[-LAST_LINES - 1 :]).strip(" /")
            raise SynthAugError(f"nnUNetv2_train ended with exit code {code}; {log} ends: {last}")
        return True

    def test(self, structures: Sequence[str], structure: str) -> tuple[TestedCase, ...]:
        """Compare the segmentations with the label maps, on the grid of each case."""
        scheme = self.held.dataset.scheme
        tested = []
        for case in self.held.test:
            label, affine = read_label(case.label, scheme)
            found, _ = read_label(self._segmentation(case), scheme)
            tested.append(
                TestedCase.of(
                    case.identifier, label, found, scheme, voxel_volume_ml=voxel_volume_ml(affine),
                    structures=structures, structure=structure,
                )
            )  # fmt: skip
        return tuple(tested)

    def _segmentation(self, case: CasePaths) -> Path:
        ending = file_ending(self.held.dataset.dataset_json, self.held.dataset.preprocessed / "dataset.json")
        return self.output / "validation" / f"{case.identifier}{ending}"

    @property
    def _is_validated(self) -> bool:
        return (self.output / "validation" / "summary.json").is_file() and all(
            self._segmentation(case).is_file() for case in self.held.test
        )

    def _prepare(self) -> None:
        dataset = self.held.dataset
        own = self.folder / "preprocessed" / dataset.name
        own.mkdir(parents=True, exist_ok=True)
        for entry in dataset.preprocessed.iterdir():
            link = own / entry.name
            if entry.name not in (SPLITS, FILE_NAME) and not link.is_symlink():
                link.symlink_to(entry.resolve())
        split = {"train": [one.identifier for one in self.training], "val": [one.identifier for one in self.held.test]}
        replace_file(own / SPLITS, json.dumps([split]).encode())
        store, _ = self.cache.open()
        mapping = self.cache.mapping(store.info, dataset.scheme, {})
        configuration = RunConfiguration(
            cache=str(store.folder.resolve()),
            mix=self.mix,
            schedule=self.cache.drawn,
            mapping=dict(mapping.table),
            allow_missing_labels=self.cache.choice.allow_missing,
            seed=self.seed,
            epochs=self.steps // self.segmenter.iterations,
            iterations=self.segmenter.iterations,
            validation_iterations=self.segmenter.validation_iterations,
            save_every=1,  # a run that is stopped loses one epoch at most
        )
        write_configuration(configuration, own / FILE_NAME)

    def _environment(self) -> dict[str, str]:
        raw = self.held.dataset.raw
        assert raw is not None
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHAUG_")}
        folders = {"nnUNet_preprocessed": self.folder / "preprocessed", "nnUNet_results": self.folder / "results"}
        own = {name: str(folder.resolve()) for name, folder in folders.items()}
        if self.device.type == "cuda" and self.device.index is not None:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            names = visible.split(",") if visible else None
            own["CUDA_VISIBLE_DEVICES"] = names[self.device.index] if names else str(self.device.index)
        return {**kept, "nnUNet_raw": str(raw.parent.resolve()), **own}


def _call(command: Sequence[str], environment: Mapping[str, str], log: Path, seconds: float | None) -> int | None:
    """Exit code of a command, or None where its time was up; its processes, such as data loaders, end with it."""
    with open(log, "ab") as printed:
        called = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own
        )
    try:
        return called.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):  # none is left
            os.killpg(called.pid, signal.SIGKILL)
        called.wait()


def _console_script(name: str) -> list[str]:
    """The console script of this interpreter's environment, which need not be on the PATH."""
    folders = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ.get("PATH", ""))
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise SynthAugError(f"{name}: not found in this environment; pip install nnunetv2")
    return [found]
