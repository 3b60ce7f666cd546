"""How a training is refused whose generator has seen validation cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synthaug.errors import LeakageError
from synthaug.leakage import Leak, name_leaks


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
