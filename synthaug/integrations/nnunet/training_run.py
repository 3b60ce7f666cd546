"""A training with synthetic cases, checked and opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from synthaug.errors import ConfigurationError, StoreError
from synthaug.integrations.nnunet.automatic_cache import make_automatic_cache
from synthaug.integrations.nnunet.channels import match_channels
from synthaug.integrations.nnunet.dataset import Fold, NnunetDataset
from synthaug.integrations.nnunet.held_out import held_out_records
from synthaug.integrations.nnunet.label_mapping import describe_mapping, map_labels
from synthaug.integrations.nnunet.leakage import Leak, find_leaks, refuse_leaks
from synthaug.integrations.nnunet.orientation import dataset_orientations
from synthaug.integrations.nnunet.run_configuration import FILE_NAME, RunConfiguration
from synthaug.integrations.nnunet.view import PlansView, ViewSpec, build_view, view_of
from synthaug.sources import StoreSource
from synthaug.store import CaseEntry, Store, StoreInfo


@dataclass(frozen=True)
class TrainingRun:
    """What a trainer draws synthetic cases from.

    Attributes:
        configuration: The resolved configuration.
        store: The cache.
        view: Its cases, preprocessed for the plans and the configuration.
        spec: What the view was made for.
        source: Draws cases from the cache.
        leaks: Validation cases that the generator has seen, where the user allowed it.
    """

    configuration: RunConfiguration
    store: Store
    view: PlansView
    spec: ViewSpec
    source: StoreSource
    leaks: tuple[Leak, ...]

    @cached_property
    def entries(self) -> tuple[CaseEntry, ...]:
        """The synthetic cases as they were at the first look: another process may add to the cache meanwhile."""
        return tuple(self.store.entries())

    @property
    def names(self) -> list[str]:
        """Names of the synthetic cases, in the order of the counters."""
        return [entry.name for entry in self.entries]

    @property
    def volumes_ml(self) -> np.ndarray:
        """Volume of the scheduled structure in each case, in mL, in the order of the names."""
        return np.array([entry.realised_ml[self.source.structure] for entry in self.entries])

    def provenance(self) -> dict[str, Any]:
        """Where the synthetic cases came from, as plain JSON types."""
        from synthaug import __version__

        return {
            "synthaug": __version__,
            "generator": self.store.info.generator,
            "generator_sha256": self.store.info.fingerprint,
            "cache": str(self.store.folder),
            "cases": len(self.names),
            "view": self.spec.key,
            "mapping": dict(self.spec.mapping.table),
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

    Raises:
        SynthAugError: Something does not fit; says what, where, and how to mend it.
    """
    where = dataset.preprocessed / FILE_NAME

    def guard(made_by: StoreInfo) -> tuple[Leak, ...]:
        return check_leakage(dataset, configuration, made_by, fold, training, validation, announce)

    store = _open_store(dataset, configuration, fold, announce, guard, build)
    mapping = map_labels(
        store.info.scheme, dataset.scheme, configuration.mapping, configuration.allow_missing_labels, where=str(where)
    )
    order = match_channels(dataset.channels, store.info.channels, configuration.channels)
    leaks = guard(store.info)
    source = StoreSource(store, configuration.schedule)
    orientations = dataset_orientations(dataset, str(plans["image_reader_writer"]))
    spec = ViewSpec(plans, configuration_name, dataset.dataset_json, mapping, order, orientations)
    announce(f"synthaug: labels: {describe_mapping(mapping)}")
    view = build_view(store, spec, announce) if build else view_of(store, spec)
    if not view.names():
        raise StoreError(f"{store.folder}: none of its cases can be read; run synthaug cache verify {store.folder}")
    announce(
        f"synthaug: {len(store)} synthetic cases from {store.info.generator} ({store.info.fingerprint[:12]}), "
        f"{source.structure} {source.index.volumes_ml[0]:.0f} to {source.index.volumes_ml[-1]:.0f} mL, "
        f"share {configuration.mix.name}"
    )
    return TrainingRun(configuration, store, view, spec, source, leaks)


def check_leakage(
    dataset: NnunetDataset,
    configuration: RunConfiguration,
    made_by: StoreInfo,
    fold: Fold,
    training: Sequence[str],
    validation: Sequence[str],
    announce: Callable[[str], None],
) -> tuple[Leak, ...]:
    """Compare what a generator was fitted on with the cases that a fold validates on.

    Args:
        dataset: The dataset.
        configuration: Its configuration, which may allow leaks.
        made_by: The head of the cache.
        fold: The fold.
        training: Identifiers of its training cases.
        validation: Identifiers of its validation cases.
        announce: Told what could not be compared, and of leaks that are allowed.

    Returns:
        The leaks, where the configuration allows them.

    Raises:
        LeakageError: There are leaks and the configuration does not allow them.
    """
    if not made_by.training_cases:
        return ()
    held_out = held_out_records(dataset, configuration, training, validation, announce)
    leaks = find_leaks(made_by.training_cases, held_out)
    if leaks and configuration.allow_leakage:
        announce(
            f'synthaug: "allow_leakage" is set: {made_by.generator} was fitted on {len(leaks)} validation case(s) '
            f"({', '.join(map(str, leaks[:5]))}); no figure of this validation is one of held-out data"
        )
        return tuple(leaks)
    refuse_leaks(
        leaks,
        generator=made_by.generator,
        cache=configuration.cache_folder(dataset.preprocessed),
        dataset=dataset.name,
        fold=fold,
        where=dataset.preprocessed / FILE_NAME,
    )
    return ()


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
