"""Leave behind what ``nnUNetv2_train DATASET CONFIGURATION FOLD -tr nnUNetTrainerSynthAug`` needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthaug.errors import ConfigurationError
from synthaug.generators.cases import CasePaths
from synthaug.integrations.nnunet.dataset import Fold, NnunetDataset
from synthaug.integrations.nnunet.held_out import record_cases
from synthaug.integrations.nnunet.label_mapping import map_labels
from synthaug.integrations.nnunet.run_configuration import (
    DEFAULT_CACHE,
    FILE_NAME,
    Prepared,
    RunConfiguration,
    read_configuration,
    write_configuration,
)
from synthaug.integrations.nnunet.training_run import open_training
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.schedules import MixSchedule, VolumeSchedule, parse_mix
from synthaug.store import Store


@dataclass(frozen=True)
class PreparedTraining:
    """What ``prepare_training`` made.

    Attributes:
        dataset: Name of the dataset.
        configuration_file: The trainer's configuration.
        cache: The cache.
        views: Folder of the preprocessed cases by nnU-Net configuration.
        mapping: From the generator's structures to the dataset's labels.
        fold: The fold that it was checked for.
        mix: Share of synthetic cases.
    """

    dataset: str
    configuration_file: Path
    cache: Path
    views: Mapping[str, Path]
    mapping: LabelMapping
    fold: Fold
    mix: MixSchedule

    def __str__(self) -> str:
        names = " or ".join(self.views)
        return (
            f"{self.configuration_file} is written, share of synthetic cases {self.mix.name}; train with:\n"
            f"nnUNetv2_train {self.dataset} {names} {self.fold} -tr nnUNetTrainerSynthAug"
        )


def default_cache_folder(dataset: str | int) -> Path:
    """Where the cache of a dataset lies if nobody says otherwise: in its folder in ``nnUNet_preprocessed``."""
    return NnunetDataset.find(dataset).preprocessed / DEFAULT_CACHE


def training_case_paths(dataset: str | int, fold: Fold) -> tuple[LabelScheme, tuple[str, ...], list[CasePaths]]:
    """The training cases of one fold, for generators that draw from real cases.

    Returns:
        The dataset's scheme, its channels, and the files of the cases.

    Raises:
        SynthAugError: No such dataset or fold, or a case of the split has no files.
    """
    found = NnunetDataset.find(dataset)
    training, _ = found.split(fold)
    lost = [name for name in training if name not in found.cases]
    if lost:
        raise ConfigurationError(
            f"{found.preprocessed / 'splits_final.json'}: fold {fold} names {', '.join(lost[:3])}, which {found.raw} "
            "does not "
            "have; mend the split or restore the cases"
        )
    return found.scheme, found.channels, [found.cases[name] for name in training]


def prepare_training(
    store_folder: str | Path,
    dataset: str | int,
    *,
    configurations: Sequence[str] | None = None,
    fold: Fold = 0,
    mix: MixSchedule | str | float | None = None,
    schedule: VolumeSchedule | None = None,
    mapping: Mapping[str, str] | None = None,
    seed: int = 0,
    plans: str = "nnUNetPlans",
    announce: Callable[[str], None] = print,
) -> PreparedTraining:
    """Write the trainer's configuration and bring a cache into nnU-Net's form.

    Settings that are not arguments here (``channels``, ``allow_leakage``, ``epochs``, ...) are kept where the dataset
    has a configuration already.

    Args:
        store_folder: The cache.
        dataset: Number or name of the dataset; it must be planned.
        configurations: nnU-Net configurations to prepare; None: ``3d_fullres``, or ``2d`` where the plans lack it.
        Others
            are prepared when their training starts.
        fold: The fold that will be trained; the cache must not stem from its validation cases.
        mix: Share of synthetic cases; None: half.
        schedule: Volumes to draw by; None: every case alike.
        mapping: Generator's structure to dataset's label, as far as names do not tell.
        seed: Seed of the draws.
        plans: Name of the plans.
        announce: Told what happens.

    Raises:
        SynthAugError: The cache, dataset, fold, mapping or channels do not fit; nothing has been written then.
    """
    found = NnunetDataset.find(dataset)
    path = found.preprocessed / FILE_NAME
    plans_content = found.plans(plans)
    known = list(plans_content["configurations"])
    wanted = list(configurations) if configurations else ["3d_fullres" if "3d_fullres" in known else "2d"]
    _check_configurations(wanted, plans_content, found.preprocessed / f"{plans}.json")
    store = Store.open(store_folder)
    kept = read_configuration(found.preprocessed, environment={})
    configuration = replace(
        kept,
        cache=_cache_text(store.folder, found.preprocessed),
        mix=parse_mix("mixed" if mix is None else mix),
        schedule=schedule,
        mapping=dict(mapping or {}),
        seed=seed,
    )
    # whole table, so that it can be read and changed in the file
    total = map_labels(
        store.info.scheme, found.scheme, configuration.mapping, configuration.allow_missing_labels, where=str(path)
    )
    configuration = replace(configuration, mapping=dict(total.table), prepared=_prepared(found, store, announce))
    training, validation = found.split(fold)
    views = {}
    for name in wanted:
        run = open_training(
            found,
            configuration,
            plans=plans_content,
            configuration_name=name,
            fold=fold,
            training=training,
            validation=validation,
            announce=announce,
        )
        views[name] = run.view.folder
    write_configuration(configuration, path)
    return PreparedTraining(found.name, path, store.folder, views, total, fold, configuration.mix)


def _check_configurations(wanted: Sequence[str], plans: Mapping[str, Any], path: Path) -> None:
    known = plans["configurations"]
    for name in wanted:
        if name not in known:
            raise ConfigurationError(f"{path}: no configuration {name!r}; it has {', '.join(known)}")
        if known[name].get("previous_stage"):
            raise ConfigurationError(
                f"{name}: a cascade's second stage is not supported, since synthetic cases have no prediction of the "
                "first; "
                "prepare 3d_lowres or 3d_fullres"
            )


def _cache_text(cache: Path, dataset_folder: Path) -> str:
    """Relative inside the dataset's folder, which may be moved or copied to another node; absolute elsewhere."""
    cache, dataset_folder = cache.resolve(), dataset_folder.resolve()
    return str(cache.relative_to(dataset_folder) if cache.is_relative_to(dataset_folder) else cache)


def _prepared(dataset: NnunetDataset, store: Store, announce: Callable[[str], None]) -> Prepared:
    names = list(dataset.cases) if dataset.raw is not None else list(dataset.label_files())
    announce(f"synthaug: fingerprinting {len(names)} cases of {dataset.name} for the leakage guard")
    cases, unknown = record_cases(dataset, names)
    if unknown:
        announce(f"synthaug: not fingerprinted, since they cannot be read: {', '.join(unknown[:5])}")
    return Prepared(store.info.generator, store.info.fingerprint, cases)


__all__ = ["PreparedTraining", "RunConfiguration", "default_cache_folder", "prepare_training", "training_case_paths"]
