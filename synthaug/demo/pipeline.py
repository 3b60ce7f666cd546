"""The stages of the demo: nnU-Net plans, synthaug fills a cache, nnU-Net trains on both and predicts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from synthaug.demo.plans import CPU_SPACING_MM, halve_features
from synthaug.demo.predictions import held_out_dice, prediction_inputs
from synthaug.demo.tables import print_dice, print_training, print_volumes
from synthaug.demo.workspace import Workspace
from synthaug.errors import SynthAugError
from synthaug.generators import CasePaths
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.reports.preview import Card, draw_pairs
from synthaug.store import Store
from synthaug.volumes import read_pair

CONFIGURATION = "3d_fullres"
TRAINER = "nnUNetTrainerSynthAug"
FOLD = 0
VALIDATION_ITERATIONS = 2
NUM_PREDICTED = 2
NUM_SHOWN = 3


@dataclass
class DemoPipeline:
    """The commands of the main job, one after the other, on one data set.

    Attributes:
        workspace: where they run.
        raw: the raw data set, within nnUNet_raw of the workspace.
        stand_ins: whether its cases are stand-ins for real ones.
    """

    workspace: Workspace
    raw: Path
    stand_ins: bool

    def __post_init__(self) -> None:
        self.console: Console = self.workspace.console
        self.dataset = NnunetDataset(self.raw.name, self.raw, self.workspace.preprocessed / self.raw.name)
        self.number = str(int(self.raw.name.removeprefix("Dataset").split("_")[0]))
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._note = " (stand-ins)" if self.stand_ins else ""

    def plan(self) -> None:
        """Plan and preprocess the real cases; without a GPU half the features, and own data on a coarser grid."""
        self.workspace.heading("nnU-Net plans and preprocesses the real cases" + self._note)
        on_cpu = self.device == "cpu"
        coarse = ["-overwrite_target_spacing", *[f"{CPU_SPACING_MM:g}"] * 3] if on_cpu and not self.stand_ins else []
        command = ["nnUNetv2_plan_and_preprocess", "-d", self.number, "-c", CONFIGURATION, "-np", "2", "-npfp", "2"]
        self.workspace.run([*command, *coarse, "--verify_dataset_integrity"])
        if on_cpu:
            features = halve_features(self.dataset.preprocessed / "nnUNetPlans.json", CONFIGURATION)
            self.console.print(f"  no GPU: half the features that were planned, {features}", style="dim")

    def precompute(self, generator: str, *, num: int, schedule: str, seed: int) -> list[dict[str, Any]]:
        """Fill the cache and prepare the training.

        Returns:
            What the cache says of each pair.

        Raises:
            SynthAugError: no pair passed quality control.
        """
        self.workspace.heading("synthaug fills a cache and prepares the training")
        cache = self.workspace.cache
        pairs = ["--num", str(num), "--schedule", schedule, "--seed", str(seed), "--out", str(cache)]
        command = ["synthaug", "precompute", "--generator", generator, *pairs, "--dataset", self.number]
        # exit code 1: some pairs failed quality control at every attempt; the training goes on with the others
        self.workspace.run(command, accepted=(0, 1))
        synthetic = [entry.to_dict() for entry in Store.open(cache).entries()]
        if not synthetic:
            raise SynthAugError(f"{cache}: no pair passed quality control; `synthaug cache info {cache}` tells why")
        print_volumes(self.console, synthetic)
        return synthetic

    def train(self, *, epochs: int, iterations: int) -> list[dict[str, Any]]:
        """Train on real and synthetic cases; returns the trainer's own line for each epoch."""
        self.workspace.heading("nnU-Net trains on real" + self._note + " and synthetic cases")
        lengths = {"EPOCHS": epochs, "ITERATIONS": iterations, "VALIDATION_ITERATIONS": VALIDATION_ITERATIONS}
        short = {f"SYNTHAUG_{name}": str(length) for name, length in lengths.items()}
        command = ["nnUNetv2_train", self.number, CONFIGURATION, str(FOLD), "-tr", TRAINER, "-device", self.device]
        self.workspace.run(command, extra=short)
        results = self.workspace.results / self.raw.name
        (log,) = results.glob(f"{TRAINER}__*__{CONFIGURATION}/fold_{FOLD}/synthaug_metrics.jsonl")
        metrics = [json.loads(line) for line in log.read_text().splitlines()]
        print_training(self.console, metrics)
        return metrics

    def predict(self) -> dict[str, dict[str, float]]:
        """Predict some of the fold's validation cases; returns their Dice by case and structure."""
        self.workspace.heading("nnU-Net predicts held-out cases" + self._note)
        held_out = [self.dataset.cases[name] for name in self._validation()[:NUM_PREDICTED]]
        ending = str(self.dataset.dataset_json["file_ending"])
        folder = self.workspace.folder / "predict"
        inputs = prediction_inputs(folder / "input", held_out, ending)
        predictions = folder / "output"
        self.workspace.run(
            ["nnUNetv2_predict", "-i", str(inputs), "-o", str(predictions), "-d", self.number, "-c", CONFIGURATION]
            + ["-f", str(FOLD), "-tr", TRAINER, "-device", self.device, "--disable_tta", "-npp", "1", "-nps", "1"]
        )
        dice = held_out_dice(predictions, held_out, self.dataset.scheme, ending)
        print_dice(self.console, dice, stand_ins=self.stand_ins)
        return dice

    def draw(self) -> Path:
        """A picture: real cases on the left, synthetic ones of spread volumes on the right."""
        validation = self._validation()
        names = [*validation, *(name for name in self.dataset.cases if name not in validation)][:NUM_SHOWN]
        real = [self._card(self.dataset.cases[name]) for name in names]
        store = Store.open(self.workspace.cache)
        entries = sorted(store.entries(), key=lambda entry: sum(entry.requested_ml.values()))
        count = min(len(real), len(entries))
        spread = [entries[round(i * (len(entries) - 1) / max(1, count - 1))] for i in range(count)]
        synthetic = [Card(store.read(entry.name), entry.name) for entry in spread]
        heading = "stand-ins for real cases" if self.stand_ins else "real"
        picture = self.workspace.folder / "real-and-synthetic.png"
        draw_pairs(picture, [real, synthetic], headings=[heading, "synthetic"], title=self.raw.name)
        return picture

    def _validation(self) -> list[str]:
        _, validation = self.dataset.split(FOLD)
        return validation

    def _card(self, case: CasePaths) -> Card:
        return Card(read_pair(case.images, case.label, self.dataset.scheme, self.dataset.channels), case.identifier)
