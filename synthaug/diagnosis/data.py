"""An nnU-Net dataset, a cache, and whether a generator fits."""

from __future__ import annotations

from pathlib import Path

from synthaug.diagnosis.check import Check
from synthaug.errors import SynthAugError


def check_generators() -> list[Check]:
    """Which generators can be loaded by name."""
    from synthaug.generators import list_generators

    names = [info.name for info in list_generators()]
    if not names:
        return [Check("generators", "warning", "none", "reinstall synthaug: its weights are missing")]
    return [Check("generators", "ok", ", ".join(names))]


def check_dataset(dataset: str) -> list[Check]:
    """The raw cases, the plans and the folds of an nnU-Net dataset."""
    from synthaug.integrations.nnunet.dataset import NnunetDataset

    checks = []
    try:
        found = NnunetDataset.find(dataset)
        checks.append(Check(f"dataset {dataset}", "ok", f"{found.name}: {len(found.cases)} training cases"))
    except SynthAugError as mistake:
        return [Check(f"dataset {dataset}", "failed", str(mistake), "check nnUNet_raw and the dataset's number")]
    try:
        configurations = ", ".join(found.plans().get("configurations", {}))
        checks.append(Check("plans", "ok", f"configurations {configurations}"))
    except SynthAugError as mistake:
        number = found.name.split("_")[0].removeprefix("Dataset")
        mend = f"nnUNetv2_plan_and_preprocess -d {number} --verify_dataset_integrity"
        checks.append(Check("plans", "failed", str(mistake), mend))
    settings = found.preprocessed / "synthaug.json"
    if settings.is_file():
        checks.append(Check("training configuration", "ok", str(settings)))
    else:
        mend = f"synthaug precompute --dataset {dataset} --num 100 --schedule uniform:20:120 --out CACHE"
        checks.append(Check("training configuration", "warning", f"{settings} is not there: defaults hold", mend))
    return checks


def check_cache(folder: Path) -> list[Check]:
    """Whether a cache can be opened, what it holds, and whether every byte of it is right."""
    from synthaug.store import Store

    try:
        store = Store.open(folder)
        problems = store.verify()
    except SynthAugError as mistake:
        return [Check("cache", "failed", str(mistake), "give the folder that synthaug precompute wrote")]
    if problems:
        mend = f"remove the damaged cases and run synthaug precompute again; synthaug cache verify {folder} lists them"
        return [Check("cache", "failed", f"{len(problems)} problems in {folder}: {problems[0]}", mend)]
    if not len(store):
        return [Check("cache", "warning", f"{folder} holds no case", "run synthaug precompute")]
    return [Check("cache", "ok", f"{folder}: {len(store)} cases, every byte as written")]
