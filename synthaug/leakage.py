"""No synthetic pair may come from a case that a network is validated on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError, LeakageError
from synthaug.generators.cases import CasePaths, case_record
from synthaug.sources import Source
from synthaug.store import Store
from synthaug.volumes import CaseRecord

if TYPE_CHECKING:
    from synthaug.generators.protocol import PairGenerator

NAMED = 5
"""Cases that a message names; of more it tells the number."""


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


def name_leaks(leaks: Sequence[object]) -> str:
    """The first few of them, and how many more there are."""
    rest = f" and {len(leaks) - NAMED} more" if len(leaks) > NAMED else ""
    return ", ".join(map(str, leaks[:NAMED])) + rest


def refuse_leaks(
    learned_from: Mapping[str, Iterable[CaseRecord]], held_out: Sequence[CaseRecord], *, whose: str, mend: str
) -> None:
    """Refuse whatever was, or would be, made from a held-out case, by name or by content.

    Args:
        learned_from: What each was made from, by what the error is to name it.
        held_out: Records of the held-out cases.
        whose: What these are, in the plural: ``test cases of Dataset501_Malf``.
        mend: What the user can do.

    Raises:
        LeakageError: Names what, the cases and the mend.
    """
    for name, records in learned_from.items():
        if leaks := find_leaks(records, held_out):
            raise LeakageError(
                f"{name}: was made from {len(leaks)} of the {len(held_out)} {whose} ({name_leaks(leaks)}); {mend}"
            )


def check_leakage(
    made_by: PairGenerator | Store | Source | Path | str,
    held_out: Iterable[Any],
    *,
    keys: tuple[Any, Any] = ("image", "label"),
    allow_leakage: bool = False,
) -> tuple[Leak, ...]:
    """Refuse a generator that has seen cases which a network is validated or tested on.

    Files are compared by content: copies that were renamed, re-oriented, stored with another type or compression, or
    padded with zeros are recognised; resampled or otherwise changed ones are not.

    Args:
        made_by: A generator, a cache or its folder, or a source.
        held_out: The validation cases. Each is a pair of NIfTI files (image, label), a dictionary of them as in
            MONAI's data lists, or a ``CaseRecord``, whose name is compared too. An image is one file, 3D or with
            channels as a fourth dimension, or a list with a file for each channel.
        keys: Of image and label in dictionaries.
        allow_leakage: Warn instead of refusing.

    Returns:
        The leaks, where they are allowed.

    Raises:
        LeakageError: It was fitted on some of these cases; names them.
        ConfigurationError: ``made_by`` does not tell what it was fitted on, or a case is given in another form.
        SynthAugError: A file cannot be read.
    """
    fitted_on = _fitted_on(made_by)
    cases = [_case(case, keys) for case in _listed(held_out)]
    if not cases:
        raise ConfigurationError("held_out is empty; give the validation cases, or leave it out to have none compared")
    if not fitted_on:
        return ()
    # decompression and hashing run outside the interpreter's lock
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        leaks = find_leaks(fitted_on, pool.map(_record, cases))
    if not leaks:
        return ()
    found = f"the generator was fitted on {len(leaks)} of {len(cases)} held-out case(s): {name_leaks(leaks)}"
    if not allow_leakage:
        raise LeakageError(
            f"held_out: {found}; take a generator that was fitted on other cases, or give allow_leakage=True and "
            "report no figure of these cases"
        )
    warnings.warn(f"allow_leakage is set: {found}; no figure of these cases is one of held-out data", stacklevel=2)
    return tuple(leaks)


def _fitted_on(made_by: Any) -> tuple[CaseRecord, ...]:
    if isinstance(made_by, (str, Path)):
        made_by = Store.open(made_by)
    if isinstance(made_by, Store):
        return made_by.info.training_cases
    records = getattr(made_by, "training_cases", None)
    if records is None:
        raise ConfigurationError(
            f"held_out: a {type(made_by).__name__} does not tell what its generator was fitted on; give it the "
            "attribute training_cases, a list of CaseRecord"
        )
    return tuple(records)


def _listed(held_out: Any) -> list[Any]:
    if isinstance(held_out, (str, Path, Mapping, CaseRecord)) or not isinstance(held_out, Iterable):
        raise ConfigurationError(
            f"held_out is {held_out!r}; a list of validation cases is needed, each a pair of files (image, label)"
        )
    return list(held_out)


def _case(case: Any, keys: tuple[Any, Any]) -> CasePaths | CaseRecord:
    if isinstance(case, CaseRecord):
        return case
    parts = [case.get(key) for key in keys] if isinstance(case, Mapping) else case
    if isinstance(parts, (tuple, list)) and len(parts) == 2:
        image, label = parts
        images = image if isinstance(image, (tuple, list)) else (image,)
        if images and all(isinstance(path, (str, os.PathLike)) for path in (*images, label)):
            # its path is its name: the names of files say little, every subject may have a t1.nii.gz
            return CasePaths(str(images[0]), tuple(Path(path) for path in images), Path(label))
    raise ConfigurationError(
        f"held_out: {case!r} is no case; give the files (image, label), {{{keys[0]!r}: image, {keys[1]!r}: label}}, or "
        "a CaseRecord"
    )


def _record(case: CasePaths | CaseRecord) -> CaseRecord:
    return case if isinstance(case, CaseRecord) else case_record(case)
