"""How a training is refused that has seen validation cases, or whose generator has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from synthaug.errors import LeakageError
from synthaug.integrations.nnunet.run_configuration import RunConfiguration
from synthaug.leakage import Leak, find_leaks, name_leaks
from synthaug.volumes import CaseRecord


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
    """Raise if a fold trains on what it validates on; arguments are those of :func:`refuse_leaks`.

    Raises:
        LeakageError: Names the cases.
    """
    if leaks:
        raise LeakageError(
            f"fold {fold} of {dataset} trains on {len(leaks)} of its validation cases: {name_leaks(leaks)}; mend "
            'splits_final.json, choose fold all, which holds nothing out, or set "allow_leakage": true in '
            f"{where} and report no figure of this validation"
        )


def refuse_leaks(
    leaks: Sequence[Leak], *, generator: str, cache: Path, dataset: str, fold: int | str, where: Path
) -> None:
    """Raise if there are leaks.

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
