"""No synthetic case may come from a case that the segmenter is validated on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.errors import LeakageError
from synthaug.volumes import CaseRecord


@dataclass(frozen=True)
class Leak:
    """A validation case that a generator has seen.

    Attributes:
        validation_case: Its name in the dataset.
        fitted_on: Its name among the generator's training cases.
        same: What gave it away: ``identifier``, ``image`` or ``label``.
    """

    validation_case: str
    fitted_on: str
    same: str

    def __str__(self) -> str:
        if self.same == "identifier":
            return self.validation_case
        return f"{self.validation_case} (same {self.same} as its training case {self.fitted_on})"


def find_leaks(fitted_on: Iterable[CaseRecord], held_out: Iterable[CaseRecord]) -> list[Leak]:
    """Validation cases among a generator's training cases, by identifier or by content.

    Args:
        fitted_on: What the generator, or the cache's generator, was fitted on.
        held_out: The validation cases; a hash that is None is not compared.

    Returns:
        At most one leak for each validation case, sorted by name.
    """
    fitted = list(fitted_on)
    by_identifier = {record.identifier: record for record in fitted}
    by_image = {record.image_sha256: record for record in fitted if record.image_sha256 is not None}
    by_label = {record.label_sha256: record for record in fitted if record.label_sha256 is not None}
    leaks = []
    for record in sorted(held_out, key=lambda record: record.identifier):
        matches = (
            ("identifier", by_identifier.get(record.identifier)),
            ("image", by_image.get(record.image_sha256 or "")),
            ("label", by_label.get(record.label_sha256 or "")),
        )
        found = next(((same, match) for same, match in matches if match is not None), None)
        if found:
            leaks.append(Leak(record.identifier, found[1].identifier, found[0]))
    return leaks


def refuse_leaks(
    leaks: Sequence[Leak], *, generator: str, cache: Path, dataset: str, fold: int | str, where: Path
) -> None:
    """Raise if there are leaks.

    Args:
        leaks: What was found.
        generator: Name of the generator.
        cache: Folder of the cache.
        dataset: Name of the dataset.
        fold: Fold to be trained.
        where: Configuration file, in which the refusal can be lifted.

    Raises:
        LeakageError: Names the cases.
    """
    if not leaks:
        return
    names = ", ".join(map(str, leaks[:5])) + (f" and {len(leaks) - 5} more" if len(leaks) > 5 else "")
    raise LeakageError(
        f"{cache}: generator {generator} was fitted on {len(leaks)} validation case(s) of fold {fold} of {dataset}: "
        f"{names}; make a cache for this fold (synthaug precompute --dataset {dataset} --fold {fold} with a generator "
        f'fitted on its training cases), or set "allow_leakage": true in {where} and report no figure of this '
        "validation"
    )
