"""A training is refused that has seen validation cases, or whose generator has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from synthaug.errors import LeakageError
from synthaug.integrations.nnunet.case_records import held_out_records
from synthaug.integrations.nnunet.dataset import Fold, NnunetDataset
from synthaug.integrations.nnunet.run_configuration import FILE_NAME, RunConfiguration
from synthaug.leakage import Leak, find_leaks, name_leaks
from synthaug.store import StoreInfo
from synthaug.volumes import CaseRecord

NOT_HELD_OUT = "no figure of this validation is one of held-out data"


def check_fold(
    dataset: NnunetDataset,
    configuration: RunConfiguration,
    made_by: StoreInfo,
    fold: Fold,
    training: Sequence[str],
    validation: Sequence[str],
    announce: Callable[[str], None],
) -> tuple[Leak, ...]:
    """Compare what a fold, and a generator that it draws from, have learned with the cases that it validates on.

    Args:
        dataset: The dataset.
        configuration: Its configuration, which may allow leaks.
        made_by: The head of the cache.
        fold: The fold.
        training: Identifiers of its training cases; none may be validated on.
        validation: Identifiers of its validation cases.
        announce: Told what could not be compared, and of leaks that are allowed.

    Returns:
        The leaks, where the configuration allows them.

    Raises:
        LeakageError: There are leaks and the configuration does not allow them.
    """
    where = dataset.preprocessed / FILE_NAME
    shared = find_shared(configuration, fold, training, validation)
    if not configuration.allow_leakage:
        refuse_shared(shared, dataset=dataset.name, fold=fold, where=where)
    elif shared:
        announce(
            f'synthaug: "allow_leakage" is set: fold {fold} trains on {len(shared)} of its validation cases '
            f"({name_leaks(shared)}); {NOT_HELD_OUT}"
        )
    if not made_by.training_cases:
        return tuple(shared)
    held_out = held_out_records(dataset, configuration, training, validation, announce)
    leaks = find_leaks(made_by.training_cases, held_out)
    if not configuration.allow_leakage:
        refuse_fitted(
            leaks,
            generator=made_by.generators,
            cache=configuration.cache_folder(dataset.preprocessed),
            dataset=dataset.name,
            fold=fold,
            where=where,
        )
    elif leaks:
        announce(
            f'synthaug: "allow_leakage" is set: {made_by.generators} was fitted on {len(leaks)} validation case(s) '
            f"({name_leaks(leaks)}); {NOT_HELD_OUT}"
        )
    return (*shared, *leaks)


def find_shared(
    configuration: RunConfiguration, fold: int | str, training: Collection[str], validation: Collection[str]
) -> list[Leak]:
    """Validation cases of a fold that are among its training cases: the same case, or one with the same image.

    Images are those that were recorded when the training was prepared. Label maps are not compared: those of two
    subjects may both be empty. Fold ``all`` validates on what it trains on, and nobody takes that for held-out data.
    """
    if fold == "all":
        return []

    def records(names: Collection[str]) -> list[CaseRecord]:
        found = ((name, configuration.record_of(name)) for name in names)
        return [CaseRecord(name, None if known is None else known.image_sha256, None) for name, known in found]

    return find_leaks(records(training), records(validation))


def refuse_shared(leaks: Sequence[Leak], *, dataset: str, fold: int | str, where: Path) -> None:
    """Raise if a fold trains on what it validates on; arguments are those of :func:`refuse_fitted`.

    Raises:
        LeakageError: Names the cases.
    """
    if leaks:
        raise LeakageError(
            f"fold {fold} of {dataset} trains on {len(leaks)} of its validation cases: {name_leaks(leaks)}; mend "
            'splits_final.json, choose fold all, which holds nothing out, or set "allow_leakage": true in '
            f"{where} and report no figure of this validation"
        )


def refuse_fitted(
    leaks: Sequence[Leak], *, generator: str, cache: Path, dataset: str, fold: int | str, where: Path
) -> None:
    """Raise if a generator was fitted on what a fold validates on.

    Args:
        leaks: What was found.
        generator: Its name; of a merged cache, those that it may be.
        cache: Folder of the cache.
        dataset: Name of the dataset.
        fold: Fold to be trained.
        where: Configuration file, in which the refusal can be lifted.

    Raises:
        LeakageError: Names the cases.
    """
    if not leaks:
        return
    raise LeakageError(
        f"{cache}: generator {generator} was fitted on {len(leaks)} validation case(s) of fold {fold} of {dataset}: "
        f"{name_leaks(leaks)}; make a cache for this fold (synthaug precompute --dataset {dataset} --fold {fold} with "
        f'a generator fitted on its training cases), or set "allow_leakage": true in {where} and report no figure of '
        "this validation"
    )
