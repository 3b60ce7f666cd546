"""A training with synthetic cases, checked and opened."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.errors import ConfigurationError, StoreError
from synthaug.integrations.nnunet.automatic_cache import make_automatic_cache
from synthaug.integrations.nnunet.dataset import Fold, NnunetDataset
from synthaug.integrations.nnunet.label_mapping import describe_mapping, map_labels
from synthaug.integrations.nnunet.leakage import check_fold
from synthaug.integrations.nnunet.orientation import dataset_orientations
from synthaug.integrations.nnunet.real_volumes import fill_missing
from synthaug.integrations.nnunet.run_configuration import DEFAULT_CACHE, FILE_NAME, RunConfiguration
from synthaug.integrations.nnunet.view import PlansForm, PlansView, ViewSpec, build_view, prepare_view, view_of
from synthaug.labels import LabelMapping
from synthaug.leakage import Leak
from synthaug.live import LiveSource
from synthaug.precomputing.factory import PREFIX, load_named_generator
from synthaug.schedules import MissingVolumes, VolumeSchedule
from synthaug.sources import StoreSource
from synthaug.store import Store, StoreInfo
from synthaug.store.views import VIEWS_FOLDER
from synthaug.volumes.channels import match_channels


@dataclass(frozen=True)
class TrainingRun:
    """What a trainer draws synthetic cases from.

    Attributes:
        configuration: The resolved configuration.
        store: The cache, or the pool of pairs that are made meanwhile.
        view: Its cases, preprocessed for the plans and the configuration.
        spec: What the view was made for.
        source: Draws cases from it.
        leaks: Validation cases that the generator has seen, or the training, where the user allowed it.
    """

    configuration: RunConfiguration
    store: Store
    view: PlansView
    spec: ViewSpec
    source: StoreSource | LiveSource
    leaks: tuple[Leak, ...]

    @cached_property
    def volumes_ml(self) -> np.ndarray:
        """Volumes in mL of the scheduled structure in the cases, or the ends of what is made."""
        if isinstance(self.source, LiveSource):
            return np.array(self.source.limits_ml)
        return self.source.index.volumes_ml

    @property
    def live(self) -> LiveSource | None:
        """The source, where it makes pairs while the training runs."""
        return self.source if isinstance(self.source, LiveSource) else None

    def provenance(self) -> dict[str, Any]:
        """Where the synthetic cases came from, as plain JSON types."""
        from synthaug import __version__

        cache = self.live.cache if self.live is not None else self.store
        return {
            "synthaug": __version__,
            "source": self.configuration.source,
            "generator": self.store.info.generator,
            "generator_sha256": self.store.info.fingerprint,
            "cache": None if cache is None else str(cache.folder),
            "cases": 0 if cache is None else len(cache),
            "view": self.spec.key,
            "mapping": dict(self.spec.mapping.table),
            "schedule": None if self.source.schedule is None else self.source.schedule.to_dict(),
            "leakage": [str(leak) for leak in self.leaks],
        }


def open_training(
    dataset: NnunetDataset,
    configuration: RunConfiguration,
    *,
    plans: Mapping[str, Any],
    configuration_name: str,
    fold: Fold,
    training: Sequence[str],
    validation: Sequence[str],
    announce: Callable[[str], None] = print,
    build: bool = True,
    epochs: int | None = None,
    pool: Path | None = None,
    device: str = "auto",
) -> TrainingRun:
    """Open the cache of a training, check that it fits, and bring it into nnU-Net's form.

    Args:
        dataset: The dataset.
        configuration: Its configuration.
        plans: The plans file.
        configuration_name: nnU-Net's configuration, ``3d_fullres``.
        fold: The fold.
        training: Identifiers of its training cases.
        validation: Identifiers of its validation cases.
        announce: Told what happens.
        build: Whether this process makes what is missing; others of a DDP group find it made.
        epochs: Length of the training; pairs that are made while it runs are made for where it stands.
        pool: Folder of those pairs, where several processes of a node draw from them; None: one that goes with the
            training.
        device: Of the training; pairs are made on it too unless the configuration names another one.

    Raises:
        SynthAugError: Something does not fit; says what, where, and how to mend it.
    """
    where = dataset.preprocessed / FILE_NAME
    live = configuration.source == "live" and epochs is not None
    if configuration.device == "auto":
        configuration = replace(configuration, device=device)

    def guard(made_by: StoreInfo) -> tuple[Leak, ...]:
        return check_fold(dataset, configuration, made_by, fold, training, validation, announce)

    made_by, store = _find_cases(dataset, configuration, fold, announce, guard, build, live)
    mapping = map_labels(
        made_by.scheme, dataset.scheme, configuration.mapping, configuration.allow_missing_labels, where=str(where)
    )
    order = match_channels(dataset.channels, made_by.channels, configuration.channels)
    leaks = guard(made_by)
    schedule = _drawn_by(configuration, dataset, training, mapping, announce)
    orientations = dataset_orientations(dataset, str(plans["image_reader_writer"]))
    spec = ViewSpec(plans, configuration_name, dataset.dataset_json, mapping, order, orientations)
    announce(f"synthaug: labels: {describe_mapping(mapping)}")
    if live:
        form = PlansForm(spec)
        made = open_live_source(configuration, schedule, store, form, epochs=epochs, pool=pool, writes=build)
        announce(
            f"synthaug: pairs are made by {made_by.generator} ({made_by.fingerprint[:12]}) on "
            f"{configuration.device} while the training runs, a share of {configuration.live.duty:g} of the time"
            + (f"; it begins with {len(store)} of {store.folder}" if store is not None else "")
            + f"; share {configuration.mix.name}"
        )
        pooled = Store.open(made.folder)
        return TrainingRun(configuration, pooled, prepare_view(pooled, spec), spec, made, leaks)
    assert store is not None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        source = StoreSource(store, schedule)
    for warning in told:
        announce(f"synthaug: {warning.message}")
    elsewhere = dataset.preprocessed / DEFAULT_CACHE.parent / VIEWS_FOLDER
    view = build_view(store, spec, announce, elsewhere) if build else view_of(store, spec, elsewhere)
    if set(store.names()).isdisjoint(view.names()):
        raise StoreError(f"{store.folder}: none of its cases can be read; run synthaug cache verify {store.folder}")
    announce(
        f"synthaug: {len(store)} synthetic cases from {store.info.generator} ({store.info.fingerprint[:12]}), "
        f"{source.structure} {source.index.volumes_ml[0]:.0f} to {source.index.volumes_ml[-1]:.0f} mL, "
        f"share {configuration.mix.name}"
    )
    return TrainingRun(configuration, store, view, spec, source, leaks)


def open_live_source(
    configuration: RunConfiguration,
    schedule: VolumeSchedule | None,
    cache: Store | None,
    form: PlansForm,
    *,
    epochs: int | None,
    pool: Path | None,
    writes: bool,
) -> LiveSource:
    """The source of a training whose pairs are made while it runs; not started yet."""
    return LiveSource(
        registered(configuration.generator),
        schedule,
        options=configuration.live,
        device=configuration.device,
        folder=pool,
        cache=cache,
        form=form,
        writes=writes,
        epochs=epochs,
        seed=configuration.seed,
    )


def _drawn_by(
    configuration: RunConfiguration,
    dataset: NnunetDataset,
    training: Sequence[str],
    mapping: LabelMapping,
    announce: Callable[[str], None],
) -> VolumeSchedule | None:
    """What is missing is told from this fold's training cases, whatever fold was prepared."""
    wanted = configuration.schedule
    if not isinstance(wanted, MissingVolumes):
        return wanted
    if configuration.mix.is_real:
        return None
    return fill_missing(dataset, wanted, configuration.mix, training, mapping, announce)


def registered(generator: str) -> str:
    """The name of a generator, as a file may give it.

    Raises:
        ConfigurationError: It would run code: that is for command lines alone.
    """
    if generator.startswith(PREFIX):
        raise ConfigurationError(
            f"generator is {generator!r}; a configuration names a registered generator or a folder of weights, and "
            "runs no code"
        )
    return generator


def _find_cases(
    dataset: NnunetDataset,
    configuration: RunConfiguration,
    fold: Fold,
    announce: Callable[[str], None],
    guard: Callable[[StoreInfo], Any],
    build: bool,
    live: bool,
) -> tuple[StoreInfo, Store | None]:
    """Who makes the cases, and the cache of those that are there; pairs made meanwhile need none."""
    folder = configuration.cache_folder(dataset.preprocessed)
    if live and not (configuration.cache or (folder / "cache.json").is_file()):
        return StoreInfo.of(load_named_generator(registered(configuration.generator), device="cpu")), None
    store = _open_store(dataset, configuration, fold, announce, guard, build and not live)
    return store.info, store


def _open_store(
    dataset: NnunetDataset,
    configuration: RunConfiguration,
    fold: Fold,
    announce: Callable[[str], None],
    guard: Callable[[StoreInfo], Any],
    build: bool,
) -> Store:
    folder = configuration.cache_folder(dataset.preprocessed)
    if build and not configuration.cache:
        return make_automatic_cache(dataset, configuration, announce, lambda generator: guard(StoreInfo.of(generator)))
    if configuration.cache and not (folder / "cache.json").is_file():
        raise ConfigurationError(
            f'{folder}: there is no cache, and "cache" in {dataset.preprocessed / FILE_NAME} or SYNTHAUG_CACHE names '
            "it; if it was moved, write its new place there, else run "
            f"synthaug precompute --dataset {dataset.name} --fold {fold}"
        )
    if not (folder / "cache.json").is_file():
        raise ConfigurationError(
            f"{folder}: there is no cache; run synthaug precompute --dataset {dataset.name} --fold {fold}, or name a "
            f'cache under "cache" in {dataset.preprocessed / FILE_NAME} or in SYNTHAUG_CACHE'
        )
    store = Store.open(folder)
    prepared = configuration.prepared
    if prepared.fingerprint and prepared.fingerprint != store.info.fingerprint:
        raise StoreError(
            f"{folder}: made with {store.info.generator} (weights {store.info.fingerprint[:12]}), but the training was "
            f"prepared with {prepared.generator} (weights {prepared.fingerprint[:12]}); run synthaug precompute "
            f"--dataset {dataset.name} --fold {fold} again"
        )
    return store
