"""A tiny nnU-Net dataset with plans, and the command lines of nnU-Net on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from nnunet_trainers.startup import DISCOVERY_FOLDER
from synthaug.conditions import Condition
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.quality import QualityConfig
from synthaug.schedules import parse_schedule
from synthaug.store import Store, StoreInfo
from synthaug.volumes import CaseRecord
from tests.stand_in_generator import StandInGenerator

PLANS = Path(__file__).with_name("tiny_plans.json")
"""Made by nnU-Net for this dataset, then shrunk; with a low resolution and a cascade added by hand."""

REPOSITORY = Path(__file__).resolve().parents[2]
SHAPE = (48, 48, 48)
SPACING_MM = 2.5
NUM_CASES = 6
LABELS: dict[str, Any] = {"background": 0, "brain": 1, "lateral_ventricle_left": 2, "lateral_ventricle_right": 3}
"""Few labels, so that the tiny network costs little; the generator has thirteen."""
TABLE = {
    "lateral_ventricle_left": "lateral_ventricle_left",
    "lateral_ventricle_right": "lateral_ventricle_right",
    "third_ventricle": "brain",
    "fourth_ventricle": "brain",
    "csf": "background",
}


@dataclass
class TinyDataset:
    """The dataset and its folders.

    Attributes:
        root: Holds nnU-Net's three trees.
        name: Name of the dataset.
        labels: ``labels`` of its dataset.json.
        channels: Names of its channels.
        more: Further entries of it.
    """

    root: Path
    name: str = "Dataset901_Tiny"
    labels: Mapping[str, Any] = field(default_factory=lambda: dict(LABELS))
    channels: tuple[str, ...] = ("T1",)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def raw(self) -> Path:
        return self.root / "raw" / self.name

    @property
    def preprocessed(self) -> Path:
        return self.root / "preprocessed" / self.name

    def output(
        self,
        configuration: str = "3d_fullres",
        trainer: str = "nnUNetTrainerSynthAug",
        fold: int | str = 0,
        plans: str = "nnUNetPlans",
    ) -> Path:
        return self.root / "results" / self.name / f"{trainer}__{plans}__{configuration}" / f"fold_{fold}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "nnUNet_raw": str(self.root / "raw"),
            "nnUNet_preprocessed": str(self.root / "preprocessed"),
            "nnUNet_results": str(self.root / "results"),
            "nnUNet_def_n_proc": "1",
            "nnUNet_n_proc_DA": "1",
            "nnUNet_extTrainer": DISCOVERY_FOLDER,
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",  # nnU-Net asks for all cores, which other work may hold
            "MPLBACKEND": "Agg",
        }

    def write_raw(self) -> TinyDataset:
        """Stand-in volumes in LAS order, as many scanners write them: synthetic ones come in RAS."""
        scheme = LabelScheme.load("ventricles-t1")
        generator = StandInGenerator(SHAPE, SPACING_MM, version=7, channels=self.channels)
        low, high = generator.bounds.limits_ml["ventricles"]
        labels = LabelScheme.from_nnunet({"labels": LABELS}, name="tiny")
        mapping = LabelMapping(scheme, labels, full_table(scheme))
        for folder in ("imagesTr", "labelsTr"):
            (self.raw / folder).mkdir(parents=True)
        for number, volume_ml in enumerate(np.linspace(low, 0.5 * high, NUM_CASES)):
            pair = generator.generate([Condition({"ventricles": float(volume_ml)})], [100 + number])[0]
            files = {self.raw / "labelsTr" / f"tiny_{number}.nii.gz": mapping.apply(pair.label)}
            for channel, image in enumerate(pair.image):
                files[self.raw / "imagesTr" / f"tiny_{number}_{channel:04d}.nii.gz"] = image
            for path, array in files.items():
                as_las = nibabel.Nifti1Image(array, pair.affine).as_reoriented([[0, -1], [1, 1], [2, 1]])
                nibabel.save(as_las, path)
        (self.raw / "dataset.json").write_text(json.dumps(self.dataset_json()))
        return self

    def dataset_json(self) -> dict[str, Any]:
        return {
            "channel_names": {str(number): name for number, name in enumerate(self.channels)},
            "labels": dict(self.labels),
            "numTraining": NUM_CASES,
            "file_ending": ".nii.gz",
            **self.more,
        }

    def run(self, command: Sequence[str], /, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a console script of this environment, ``python`` or ``bash``; it has to succeed."""
        done = self.try_run(command, **more)
        assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def try_run(self, command: Sequence[str], /, **more: str) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        script = [str(Path(sys.executable).parent / command[0])] if command[0].startswith("nnUNet") else []
        interpreter = command[0] if command[0] == "bash" else sys.executable
        arguments = [interpreter, *script, *command[1:]]
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(REPOSITORY), **more}
        return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)

    def plan(self) -> TinyDataset:
        """nnU-Net's own planning and preprocessing, then a network that trains in seconds."""
        number = self.name[7:10]
        self.run(
            ["nnUNetv2_plan_and_preprocess", "-d", number, "-c", "3d_fullres", "2d", "-np", "1", "1", "-npfp", "1"]
            + ["--verify_dataset_integrity"]
        )
        shrink_plans(self.preprocessed / "nnUNetPlans.json")
        return self

    def preprocess(self, *configurations: str) -> TinyDataset:
        """What ``plan`` does, in this process: plans that nnU-Net made once, its preprocessor for each case."""
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        plans = {**json.loads(PLANS.read_text()), "dataset_name": self.name}
        _repeat_for_channels(plans, len(self.channels))
        dataset_json = self.dataset_json()
        self.preprocessed.mkdir(parents=True)
        (self.preprocessed / "nnUNetPlans.json").write_text(json.dumps(plans))
        (self.preprocessed / "dataset.json").write_text(json.dumps(dataset_json))
        (self.preprocessed / "dataset_fingerprint.json").write_text("{}")
        shutil.copytree(self.raw / "labelsTr", self.preprocessed / "gt_segmentations")
        manager = PlansManager(plans)
        for name in configurations or ("3d_fullres",):
            configuration = manager.get_configuration(name)
            folder = self.preprocessed / configuration.data_identifier
            folder.mkdir()
            preprocessor = configuration.preprocessor_class(verbose=False)
            for label in sorted((self.raw / "labelsTr").iterdir()):
                case = label.name.removesuffix(".nii.gz")
                images = [str(path) for path in sorted((self.raw / "imagesTr").glob(f"{case}_*.nii.gz"))]
                preprocessor.run_case_save(
                    str(folder / case), images, str(label), manager, configuration, self.dataset_json()
                )
        return self


def _repeat_for_channels(plans: dict[str, Any], number: int) -> None:
    """Plans of one channel, for several that are alike."""
    properties = plans["foreground_intensity_properties_per_channel"]
    properties.update({str(channel): properties["0"] for channel in range(number)})
    for configuration in plans["configurations"].values():
        for key in {"normalization_schemes", "use_mask_for_norm"} & set(configuration):
            configuration[key] = configuration[key] * number


@cache
def base_dataset(root: Path) -> TinyDataset:
    """The dataset that most tests copy, made once for all tests."""
    return TinyDataset(root / "tiny-nnunet").write_raw().preprocess("3d_fullres")


def copy_of(dataset: TinyDataset, root: Path) -> TinyDataset:
    """A copy that a test may change."""
    shutil.copytree(dataset.root, root, dirs_exist_ok=True)
    return replace(dataset, root=root)


def copy_of_raw(base: TinyDataset, root: Path, name: str, **changed: Any) -> TinyDataset:
    """A copy of the raw data alone, under another name and with another description."""
    copy = replace(base, root=root, name=name, **changed)
    shutil.copytree(base.raw, copy.raw)
    (copy.raw / "dataset.json").write_text(json.dumps(copy.dataset_json()))
    return copy


def prepare(dataset: TinyDataset, store: Store, **arguments: Any) -> Any:
    """``prepare_training`` with the mapping of this dataset."""
    from synthaug.integrations.nnunet.prepare import TrainingRequest, prepare_training

    announce = arguments.pop("announce", lambda line: None)
    request = TrainingRequest(**{"mapping": full_table(store.info.scheme), **arguments})
    return prepare_training(store.folder, dataset.name, request, announce=announce)


def full_table(scheme: LabelScheme) -> dict[str, str]:
    """The label of the dataset for each structure of the generator."""
    return {name: TABLE.get(name, "brain") for name in scheme.names}


def make_trainer(
    dataset: TinyDataset,
    trainer: str = "nnUNetTrainerSynthAug",
    configuration: str = "3d_fullres",
    fold: int | str = 0,
    continued: bool = False,
    plans: str = "nnUNetPlans",
) -> Any:
    """A trainer as ``nnUNetv2_train`` makes it, in this process."""
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

    made = get_trainer_from_args(
        dataset.name, configuration, fold, trainer, plans, continue_training=continued, device=torch.device("cpu")
    )
    maybe_load_checkpoint(made, continued, False)
    return made


def shrink_plans(path: Path) -> None:
    """A network of four features and a batch of two.

    The patch holds a whole volume, so that nnU-Net's validation and prediction take one tile of each.
    """
    plans = json.loads(path.read_text())
    for name, dimensions in (("3d_fullres", 3), ("2d", 2)):
        configuration = plans["configurations"][name]
        configuration["patch_size"] = [40, 48, 40][-dimensions:]
        configuration["batch_size"] = 2
        arguments = configuration["architecture"]["arch_kwargs"]
        arguments.update(
            n_stages=3,
            features_per_stage=[4, 8, 8],
            strides=[[1] * dimensions, [2] * dimensions, [2] * dimensions],
            kernel_sizes=[[3] * dimensions] * 3,
            n_conv_per_stage=[1, 1, 1],
            n_conv_per_stage_decoder=[1, 1],
        )
    path.write_text(json.dumps(plans, indent=1))


def make_cache(
    folder: Path, *, num: int = 6, training_cases: Sequence[CaseRecord] = (), version: int = 1, **options: Any
) -> Store:
    """A cache from the stand-in generator, ventricles over all its range."""
    from synthaug.precomputing import precompute

    generator = StandInGenerator(SHAPE, SPACING_MM, version=version, training_cases=training_cases, **options)
    low, high = generator.bounds.limits_ml["ventricles"]
    store = Store.open_or_create(folder, StoreInfo.of(generator))
    schedule = parse_schedule(f"uniform:{low}:{0.6 * high}")
    precompute(generator, store, num=num, schedule=schedule, quality=QualityConfig(min_component_fraction=0.5))
    return store


def validated(output: Path) -> list[str]:
    """Cases of which nnU-Net's own validation at the end of a training has predictions."""
    summary = json.loads((output / "validation" / "summary.json").read_text())
    return sorted(Path(case["prediction_file"]).name.removesuffix(".nii.gz") for case in summary["metric_per_case"])


def metrics(output: Path, rank: str = "") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / f"synthaug_metrics{rank}.jsonl").read_text().splitlines()]
