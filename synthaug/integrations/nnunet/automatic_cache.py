"""A small cache made when a training starts and nobody has prepared one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from synthaug.errors import ConfigurationError, SynthAugError
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.integrations.nnunet.label_mapping import map_labels
from synthaug.integrations.nnunet.run_configuration import FILE_NAME, RunConfiguration
from synthaug.schedules import MissingVolumes
from synthaug.store import Store, StoreInfo
from synthaug.volumes.channels import match_channels

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator


def make_automatic_cache(
    dataset: NnunetDataset,
    configuration: RunConfiguration,
    announce: Callable[[str], None],
    check: Callable[[PairGenerator], None] = lambda generator: None,
) -> Store:
    """Make, or complete, the default cache of a dataset, where the configured generator fits without a question.

    Args:
        dataset: The dataset.
        configuration: Its configuration.
        announce: Told what happens.
        check: Called with the generator before any work; raises to prevent it.

    Raises:
        ConfigurationError: The generator does not fit: says why, and what to run.
    """
    from synthaug.generators import load_generator
    from synthaug.precomputing import ProgressLine, precompute
    from synthaug.precomputing.requests import check_ends, default_schedule, plan_requests

    where = dataset.preprocessed / FILE_NAME
    folder = configuration.cache_folder(dataset.preprocessed)
    try:
        generator = load_generator(configuration.generator)
        match_channels(dataset.channels, generator.channels, configuration.channels)
        allow_missing = configuration.allow_missing_labels
        mapping = map_labels(generator.scheme, dataset.scheme, configuration.mapping, allow_missing, where=str(where))
        wanted = configuration.schedule
        schedule = wanted.target if isinstance(wanted, MissingVolumes) else wanted or default_schedule(generator)
        if isinstance(wanted, MissingVolumes):
            mapping.own_labels(wanted.structure)
            check_ends(generator, wanted.target)
        plan_requests(generator, schedule, num=configuration.automatic_cases, seed=configuration.seed)
    except SynthAugError as error:
        raise ConfigurationError(
            f"{dataset.name}: no training was prepared, and the default generator {configuration.generator} does not "
            f"serve: {error}; run synthaug precompute --dataset {dataset.name} --generator NAME_OR_FOLDER"
        ) from None
    check(generator)
    store = Store.open_or_create(folder, StoreInfo.of(generator))
    missing = configuration.automatic_cases - len(store)
    if missing > 0:
        announce(
            f"synthaug: no cache was prepared, so {configuration.automatic_cases} cases are made with {generator.name} "
            f"in {folder} ({len(store)} are there); for a larger one: synthaug precompute --dataset {dataset.name} "
            "--num 200"
        )
        summary = precompute(
            generator,
            store,
            num=configuration.automatic_cases,
            schedule=schedule,
            seed=configuration.seed,
            on_progress=ProgressLine(),
        )
        announce(f"synthaug: {summary}")
    return store
