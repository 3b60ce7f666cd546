"""An nnU-Net dataset, a generator and a cache, and whether they go together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.diagnosis.check import Check
from synthaug.diagnosis.compatibility import CONFIGURATION, PairForm, check_fit
from synthaug.errors import SynthAugError

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator
    from synthaug.integrations.nnunet.dataset import NnunetDataset


def check_generators() -> list[Check]:
    """Which generators can be loaded by name."""
    from synthaug.generators import list_generators

    names = [info.name for info in list_generators()]
    if not any(info.folder for info in list_generators()):
        found = f"no weights are shipped, only {', '.join(names)}"
        return [Check("generators", "warning", found, "pip install --force-reinstall --no-deps synthaug")]
    return [Check("generators", "ok", ", ".join(names))]


def check_dataset(dataset: str, fold: int | str = 0) -> list[Check]:
    """The raw cases, the plans and the fold of an nnU-Net dataset, and the trainer's configuration."""
    from synthaug.integrations.nnunet.dataset import NnunetDataset

    try:
        found = NnunetDataset.find(dataset)
        checks = [Check(f"dataset {dataset}", "ok", f"{found.name}: {len(found.cases)} training cases")]
    except SynthAugError as mistake:
        return [Check(f"dataset {dataset}", "failed", str(mistake), "check nnUNet_raw and the dataset's number")]
    number = str(int(found.name.removeprefix("Dataset").split("_")[0]))
    try:
        configurations = ", ".join(found.plans().get("configurations", {}))
        checks.append(Check("plans", "ok", f"configurations {configurations}"))
    except SynthAugError as mistake:
        mend = f"nnUNetv2_plan_and_preprocess -d {number} --verify_dataset_integrity"
        checks.append(Check("plans", "failed", str(mistake), mend))
    try:
        training, validation = found.split(fold)
        checks.append(Check("fold", "ok", f"{fold}: {len(training)} training, {len(validation)} validation cases"))
    except SynthAugError as mistake:
        checks.append(Check("fold", "failed", str(mistake), "give another --fold, or add cases"))
    settings = found.preprocessed / "synthaug.json"
    if settings.is_file():
        checks.append(Check("training configuration", "ok", str(settings)))
    else:
        mend = f"synthaug precompute --dataset {number} --num 100 --schedule uniform:20:120"
        checks.append(Check("training configuration", "warning", f"{settings} is not there: defaults hold", mend))
    return checks


def check_cache(folder: Path) -> list[Check]:
    """Whether a cache can be opened, what it holds, and whether every byte of it is right."""
    from synthaug.store import Store

    try:
        store = Store.open(folder)
        problems = store.verify()
    except (SynthAugError, OSError) as mistake:
        return [Check("cache", "failed", str(mistake), "synthaug precompute --out CACHE makes one: give its folder")]
    if problems:
        mend = f"synthaug cache verify {folder} lists them; remove those cases and run synthaug precompute again"
        return [Check("cache", "failed", f"{len(problems)} problems in {folder}: {problems[0]}", mend)]
    if not len(store):
        mend = f"synthaug precompute --out {folder}; synthaug cache info {folder} tells what was rejected"
        return [Check("cache", "warning", f"{folder} holds no case", mend)]
    return [Check("cache", "ok", f"{folder}: {len(store)} cases of {store.info.generator}, every byte as written")]


def check_generator(name: str, dataset: str | None = None, fold: int | str = 0) -> tuple[list[Check], PairForm | None]:
    """Whether a generator loads, and what its pairs are like.

    Args:
        name: shipped name or folder.
        dataset: whose cases it draws from, where it needs some.
        fold: of the dataset.
    """
    try:
        generator = _load(name, dataset, fold)
    except (SynthAugError, OSError) as mistake:
        return [Check("generator", "failed", str(mistake), "synthaug doctor lists those that ship")], None
    except RuntimeError as error:  # weights that do not fit their configuration
        reason = str(error).splitlines()[0]
        return [Check("generator", "failed", f"{name}: {reason}", "fit or fetch the generator again")], None
    form = form_of_generator(generator)
    limits = ", ".join(f"{key} {low:g} to {high:g} mL" for key, (low, high) in generator.bounds.limits_ml.items())
    return [Check("generator", "ok", f"{name}: {generator.fingerprint[:12]}, {limits}")], form


def _load(name: str, dataset: str | None, fold: int | str) -> PairGenerator:
    from synthaug.generators.registry import draws_from_cases
    from synthaug.integrations.nnunet.prepare import training_case_paths
    from synthaug.precomputing.factory import load_named_generator

    if dataset is None or not draws_from_cases(name, {}):
        return load_named_generator(name, device="cpu")
    scheme, channels, paths = training_case_paths(dataset, fold)
    return load_named_generator(name, device="cpu", cases=paths, scheme=scheme, channels=channels)


def form_of_generator(generator: PairGenerator) -> PairForm:
    """What a generator's pairs are like."""
    from synthaug.store import StoreInfo
    from synthaug.volumes.geometry import spacing_of

    spacing = tuple(float(edge) for edge in spacing_of(generator.affine))
    return PairForm(StoreInfo.of(generator), spacing, tuple(generator.shape), f"generator {generator.name}")


def form_of_cache(folder: Path) -> PairForm | None:
    """What a cache's pairs are like, by its first one; None where it cannot be opened."""
    from synthaug.store import Store

    try:
        store = Store.open(folder)
        entries = store.entries()
        pair = store.read(entries[0].name) if entries else None
    except (SynthAugError, OSError):
        return None
    if pair is None:
        return PairForm(store.info, None, None, f"cache {folder}")
    return PairForm(store.info, tuple(pair.spacing_mm), tuple(pair.label.shape), f"cache {folder}")


def check_together(
    dataset: str | None, fold: int | str, generator: PairForm | None, cache: PairForm | None
) -> list[Check]:
    """Whether the cache is the generator's, and whether its pairs, or those of the generator, fit the dataset."""
    from synthaug.integrations.nnunet.dataset import NnunetDataset

    checks = []
    if generator is not None and cache is not None:
        checks.append(_check_same(generator, cache))
    form = cache or generator
    if dataset is not None and form is not None:
        checks += check_fit(form, NnunetDataset.find(dataset), fold)
    return checks


def _check_same(generator: PairForm, cache: PairForm) -> Check:
    name, made_by = generator.made_by.generator, cache.made_by
    if made_by.fingerprint == generator.made_by.fingerprint:
        return Check("cache and generator", "ok", f"{cache.what} is of {name}, and can be continued")
    found = f"{cache.what} is of {made_by.generator} ({made_by.fingerprint[:12]}), not of {name} with these settings"
    mend = f"synthaug precompute --generator {name} --out ANOTHER; a training may draw from the cache as it is"
    return Check("cache and generator", "warning", found, mend)


def trained_cache(dataset: str) -> Path | None:
    """The cache that a training of this dataset draws from, where there is one."""
    from synthaug.integrations.nnunet.dataset import NnunetDataset
    from synthaug.integrations.nnunet.run_configuration import read_configuration

    try:
        preprocessed = NnunetDataset.find(dataset).preprocessed
        folder = read_configuration(preprocessed).cache_folder(preprocessed)
    except SynthAugError:
        return None
    return folder if folder.is_dir() else None


def batch_bytes(dataset: str) -> int | None:
    """Bytes of a training batch by the plans, image and label map; None where they do not say."""
    from synthaug.integrations.nnunet.dataset import NnunetDataset

    try:
        found: NnunetDataset = NnunetDataset.find(dataset)
        planned = found.plans()["configurations"][CONFIGURATION]
        voxels = int(planned["batch_size"]) * math.prod(int(edge) for edge in planned["patch_size"])
        return voxels * (4 * len(found.channels) + 2)
    except (SynthAugError, KeyError, TypeError, ValueError):
        return None
