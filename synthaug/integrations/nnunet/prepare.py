"""Leave behind what ``nnUNetv2_train DATASET CONFIGURATION FOLD -tr nnUNetTrainerSynthAug`` needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthaug.errors import BoundsError, ConfigurationError, LabelError
from synthaug.generators.cases import CasePaths
from synthaug.integrations.nnunet.case_examination import examine_cases
from synthaug.integrations.nnunet.dataset import DEFAULT_PLANS, Fold, NnunetDataset
from synthaug.integrations.nnunet.label_mapping import map_labels
from synthaug.integrations.nnunet.leakage import check_fold
from synthaug.integrations.nnunet.orientation import dataset_orientations
from synthaug.integrations.nnunet.real_volumes import fill_missing
from synthaug.integrations.nnunet.refusal import CASCADE_REFUSED
from synthaug.integrations.nnunet.run_configuration import (
    DEFAULT_CACHE,
    FILE_NAME,
    CaseHashes,
    Prepared,
    RunConfiguration,
    read_configuration,
    write_configuration,
)
from synthaug.integrations.nnunet.training_run import open_training
from synthaug.integrations.nnunet.view import PlansForm, ViewSpec
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.schedules import MissingVolumes, MixSchedule, VolumeSchedule, parse_mix
from synthaug.store import Store, StoreInfo
from synthaug.store.info import INFO_FILE
from synthaug.volumes.channels import match_channels


@dataclass(frozen=True)
class TrainingRequest:
    """What a training is prepared for; what is left out stays as the data set's configuration has it.

    Attributes:
        configurations: nnU-Net configurations to prepare; None: ``3d_fullres``, or ``2d`` where the plans lack it.
            Others are prepared when their training starts.
        fold: The fold that will be trained; the cache must not stem from its validation cases.
        mix: Share of synthetic cases; None: as before, at first half.
        schedule: Volumes to draw by; None: as before, at first every case alike.
        mapping: Generator's structure to dataset's label, as far as names do not tell; None: as before.
        seed: Seed of the draws; None: as before, at first 0.
        plans: Name of the plans.
    """

    configurations: Sequence[str] | None = None
    fold: Fold = 0
    mix: MixSchedule | str | float | None = None
    schedule: VolumeSchedule | MissingVolumes | None = None
    mapping: Mapping[str, str] | None = None
    seed: int | None = None
    plans: str = DEFAULT_PLANS


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
        plans: Name of the plans.
    """

    dataset: str
    configuration_file: Path
    cache: Path
    views: Mapping[str, Path]
    mapping: LabelMapping
    fold: Fold
    mix: MixSchedule
    plans: str

    def __str__(self) -> str:
        names = " or ".join(self.views)
        plans = "" if self.plans == DEFAULT_PLANS else f" -p {self.plans}"
        return (
            f"{self.configuration_file} is written, share of synthetic cases {self.mix.name}; train with:\n"
            f"nnUNetv2_train {self.dataset} {names} {self.fold} -tr nnUNetTrainerSynthAug{plans}{_device_hint()}"
        )


def _device_hint() -> str:
    """A comment for the shell; the training may run on another machine than its preparation."""
    from synthaug.networks.precision import choose_device

    return "" if choose_device().type == "cuda" else "  # without a GPU, as here: -device cpu"


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
            "does not have; mend the split or restore the cases"
        )
    return found.scheme, found.channels, [found.cases[name] for name in training]


@dataclass(frozen=True)
class _Settings:
    """What can be decided about a training before there is a cache."""

    dataset: NnunetDataset
    plans: Mapping[str, Any]
    names: tuple[str, ...]
    configuration: RunConfiguration
    mapping: LabelMapping
    training: list[str]
    validation: list[str]

    @property
    def path(self) -> Path:
        return self.dataset.preprocessed / FILE_NAME


def check_training(
    made_by: StoreInfo,
    store_folder: str | Path,
    dataset: str | int,
    request: TrainingRequest,
    *,
    announce: Callable[[str], None] = print,
) -> dict[str, CaseHashes]:
    """Refuse what ``prepare_training`` would refuse, before there is a cache: hours of generation come in between.

    Args:
        made_by: The head that the cache will have.
        store_folder: Where the cache will be.
        dataset: Number or name of the dataset.
        request: What the training is prepared for.
        announce: Told what happens.

    Returns:
        The content of the dataset's cases, for ``prepare_training``.

    Raises:
        SynthAugError: Plans, configuration, fold, mix, mapping or channels do not fit, a case cannot be used, the
            schedule that the data set's configuration has asks for what the generator cannot make, or the generator
            has seen a validation case.
    """
    settings = _settings(made_by, Path(store_folder), dataset, request, announce=_silent)
    found = settings.dataset
    match_channels(found.channels, made_by.channels, settings.configuration.channels)
    dataset_orientations(found, str(settings.plans.get("image_reader_writer")))
    wanted, mix = settings.configuration.schedule, settings.configuration.mix
    if request.schedule is None and wanted is not None and mix.mean_fraction > 0:
        _check_reachable(settings.path, wanted, made_by, Path(store_folder))
    if isinstance(wanted, MissingVolumes) and (request.schedule is not None or mix.mean_fraction > 0):
        # refused now if it cannot be told; told anew from its own training cases when a fold's training opens
        fill_missing(found, wanted, mix, settings.training, settings.mapping, announce)
    cases = examine_cases(found, announce)
    configuration = replace(settings.configuration, prepared=Prepared(cases=cases))
    check_fold(found, configuration, made_by, request.fold, settings.training, settings.validation, _silent)
    return cases


def plans_forms(
    made_by: StoreInfo, store_folder: str | Path, dataset: str | int, request: TrainingRequest
) -> list[PlansForm]:
    """What brings single cases into nnU-Net's form as they are made, for each configuration that is prepared.

    Args:
        made_by: The head of the cache.
        store_folder: The cache.
        dataset: Number or name of the dataset, as ``check_training`` has found it in order.
        request: What the training is prepared for.
    """
    settings = _settings(made_by, Path(store_folder), dataset, request, announce=_silent)
    found = settings.dataset
    order = match_channels(found.channels, made_by.channels, settings.configuration.channels)
    orientations = dataset_orientations(found, str(settings.plans.get("image_reader_writer")))
    return [
        PlansForm(ViewSpec(settings.plans, name, found.dataset_json, settings.mapping, order, orientations))
        for name in settings.names
    ]


def prepare_training(
    store_folder: str | Path,
    dataset: str | int,
    request: TrainingRequest | None = None,
    *,
    cases: Mapping[str, CaseHashes] | None = None,
    announce: Callable[[str], None] = print,
) -> PreparedTraining:
    """Write the trainer's configuration and bring a cache into nnU-Net's form.

    Settings that are not given here are kept where the dataset has a configuration already, so that what somebody
    wrote into the file outlives the next preparation. A mapping or a schedule that was prepared for another generator
    and that does not fit this one is dropped, and ``announce`` is told.

    Args:
        store_folder: The cache.
        dataset: Number or name of the dataset; it must be planned.
        request: What the training is prepared for; None: what the dataset's configuration says.
        cases: Content of the dataset's cases, as ``check_training`` found it; None: they are read.
        announce: Told what happens.

    Raises:
        SynthAugError: The cache, dataset, a case, fold, mapping or channels do not fit; nothing has been written then.
    """
    store, request = Store.open(store_folder), request or TrainingRequest()
    settings = _settings(store.info, store.folder, dataset, request, announce=announce)
    found, path = settings.dataset, settings.path
    known = examine_cases(found, announce) if cases is None else cases
    # whole table, so that it can be read and changed in the file
    configuration = replace(
        settings.configuration,
        mapping=dict(settings.mapping.table),
        prepared=Prepared(store.info.generator, store.info.fingerprint, dict(known)),
    )
    views = {}
    for name in settings.names:
        run = open_training(
            found,
            configuration,
            plans=settings.plans,
            configuration_name=name,
            fold=request.fold,
            training=settings.training,
            validation=settings.validation,
            announce=announce,
        )
        views[name] = run.view.folder
    write_configuration(configuration, path)
    return PreparedTraining(
        found.name, path, store.folder, views, settings.mapping, request.fold, configuration.mix, request.plans
    )


def _settings(
    made_by: StoreInfo,
    store_folder: Path,
    dataset: str | int,
    request: TrainingRequest,
    *,
    announce: Callable[[str], None],
) -> _Settings:
    """The settings of a training from what is given, what the dataset's configuration has, and what is proposed."""
    found = NnunetDataset.find(dataset)
    path = found.preprocessed / FILE_NAME
    plans_content = found.plans(request.plans)
    plans_file = found.preprocessed / f"{request.plans}.json"
    names = _check_configurations(request.configurations, plans_content, plans_file)
    training, validation = found.split(request.fold)
    kept = read_configuration(found.preprocessed, environment={})
    configuration = replace(
        kept,
        cache=_cache_text(store_folder, found.preprocessed),
        mix=kept.mix if request.mix is None else parse_mix(request.mix),
        schedule=kept.schedule if request.schedule is None else request.schedule,
        mapping=kept.mapping if request.mapping is None else dict(request.mapping),
        seed=kept.seed if request.seed is None else request.seed,
    )
    replaced = kept.prepared.fingerprint not in ("", made_by.fingerprint)
    if replaced and request.schedule is None and kept.schedule is not None and not _fits(kept.schedule, made_by):
        announce(
            f"synthaug: {path}: its schedule of {kept.schedule.structure} was for {kept.prepared.generator}, "
            f"{made_by.generator} has no such structure; every case is drawn alike now"
        )
        configuration = replace(configuration, schedule=None)
    where = str(path) if request.mapping is None else "--mapping"
    try:
        total = map_labels(
            made_by.scheme, found.scheme, configuration.mapping, configuration.allow_missing_labels, where=where
        )
    except (ConfigurationError, LabelError) as error:
        if request.mapping is not None or not kept.mapping or not replaced:
            raise
        announce(
            f"synthaug: the mapping in {path} was for {kept.prepared.generator} and does not fit {made_by.generator} "
            f"({error}); it is proposed anew"
        )
        total = map_labels(made_by.scheme, found.scheme, {}, configuration.allow_missing_labels, where=where)
    return _Settings(found, plans_content, names, configuration, total, training, validation)


def _fits(schedule: VolumeSchedule | MissingVolumes, made_by: StoreInfo) -> bool:
    return schedule.structure in (*made_by.scheme.names, *made_by.scheme.groups)


def _check_reachable(path: Path, kept: VolumeSchedule | MissingVolumes, made_by: StoreInfo, store_folder: Path) -> None:
    """Refuse a kept schedule of which a new cache would hold no volume; an older cache may hold such cases."""
    schedule = kept.target if isinstance(kept, MissingVolumes) else kept
    limits_ml = (made_by.bounds_ml or {}).get(schedule.structure)
    if limits_ml is None or ((store_folder / INFO_FILE).is_file() and len(Store.open(store_folder))):
        return
    if any(schedule.share_outside(*limits_ml, progress) >= 1 for progress in schedule.phases):
        raise BoundsError(
            f"{path}: its schedule ({schedule.kind}) asks for {schedule.structure} out of bounds; {made_by.generator} "
            f"allows {limits_ml[0]:g} to {limits_ml[1]:g} mL; change the schedule there, or give --schedule"
        )


def _silent(line: str) -> None:
    """What is only checked is said when it is done."""


def _check_configurations(wanted: Sequence[str] | None, plans: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    known = plans.get("configurations")
    if not isinstance(known, dict) or not known:
        raise ConfigurationError(f'{path}: has no "configurations"; run nnUNetv2_plan_and_preprocess again')
    names = tuple(wanted or ("3d_fullres" if "3d_fullres" in known else "2d",))
    for name in names:
        if name not in known:
            raise ConfigurationError(f"{path}: no configuration {name!r}; it has {', '.join(known)}")
        if known[name].get("previous_stage"):
            raise ConfigurationError(f"{name}: {CASCADE_REFUSED}; prepare 3d_lowres or 3d_fullres")
    return names


def _cache_text(cache: Path, dataset_folder: Path) -> str:
    """Relative inside the dataset's folder, which may be moved or copied to another node; absolute elsewhere."""
    cache, dataset_folder = cache.resolve(), dataset_folder.resolve()
    return str(cache.relative_to(dataset_folder) if cache.is_relative_to(dataset_folder) else cache)


__all__ = [
    "PreparedTraining",
    "TrainingRequest",
    "RunConfiguration",
    "check_training",
    "default_cache_folder",
    "plans_forms",
    "prepare_training",
    "training_case_paths",
]
