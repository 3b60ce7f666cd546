"""The cases that ``synthaug fit`` trains on: the dataset's own and further label maps, none of them held out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.errors import ConfigurationError, LeakageError

if TYPE_CHECKING:
    from synthaug.fitting.case_form import CaseForm
    from synthaug.fitting.cases import FittingCase
    from synthaug.generators.cases import CasePaths
    from synthaug.integrations.nnunet.dataset import NnunetDataset
    from synthaug.labels import LabelMapping
    from synthaug.volumes import CaseRecord

LEAK_MENDS = {
    "--label-maps": "leave each out with --hold-out NAME",
    "--init": "take a generator that was fitted on other cases",
}
"""By option, what to do where validation cases come in by it."""


def find_label_maps(folders: Sequence[Path], held_out: Sequence[str]) -> list[Path]:
    """NIfTI files of the folders of ``--label-maps``, those of ``--hold-out`` left aside.

    Raises:
        ConfigurationError: a folder without any, or a name to hold out that none has.
    """
    if held_out and not folders:
        raise ConfigurationError(
            f"--hold-out {held_out[0]}: leaves label maps of --label-maps out, and none are given; cases of the "
            "dataset are held out by its folds"
        )
    files: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise ConfigurationError(f"--label-maps {folder}: is not a folder; give one that holds .nii.gz label maps")
        found = sorted(folder.glob("*.nii.gz")) + sorted(folder.glob("*.nii"))
        if not found:
            raise ConfigurationError(
                f"--label-maps {folder}: holds no .nii or .nii.gz file; give a folder of label maps"
            )
        files += found
    held_out = [one.removesuffix(".gz").removesuffix(".nii") for one in held_out]
    names = {_identifier(path) for path in files}
    for one in held_out:
        if one not in names:
            raise ConfigurationError(f"--hold-out {one}: no such label map; there are {', '.join(sorted(names))}")
    kept = [path for path in files if _identifier(path) not in held_out]
    if folders and not kept:
        raise ConfigurationError(
            "--hold-out: names every label map of --label-maps; leave some to train on, or leave --label-maps out"
        )
    return kept


def load_cases(
    pairs: Sequence[CasePaths], label_maps: Sequence[Path], form: CaseForm, mapping: LabelMapping | None
) -> tuple[list[FittingCase], list[FittingCase]]:
    """Read the pairs of a dataset, and further label maps, in one form.

    Raises:
        SynthAugError: a case that cannot be fitted on.
    """
    from synthaug.fitting.cases import load_label_case, load_pair_case

    return (
        [load_pair_case(one, form) for one in pairs],
        [load_label_case(path, form, mapping) for path in label_maps],
    )


def refuse_validation_cases(
    fitted_on: Mapping[str, Sequence[CaseRecord]], dataset: NnunetDataset, fold: str, held_out: Iterable[str]
) -> None:
    """Refuse cases that the fold is validated on, by name or by content, before or after their mapping.

    Args:
        fitted_on: records of what is fitted on, by the option or folder that it comes from.
        dataset: the dataset.
        fold: of it.
        held_out: identifiers of its validation cases.

    Raises:
        LeakageError: names them.
    """
    from synthaug.integrations.nnunet.held_out import record_cases
    from synthaug.leakage import find_leaks, name_leaks
    from synthaug.volumes import CaseRecord

    names = sorted(held_out)
    known, _ = record_cases(dataset, names)
    contents = [CaseRecord(name, known[name].image, known[name].label) for name in names if name in known]
    contents += [CaseRecord(name, None, None) for name in names if name not in known]
    for given, records in fitted_on.items():
        leaks = find_leaks(records, contents)
        if leaks:
            shown = [
                leak.validation_case
                if leak.same == "identifier"
                else f"{leak.fitted_on} (same as {leak.validation_case})"
                for leak in leaks
            ]
            in_both = "a copy must not be in both parts of splits_final.json: take one out"
            mend = LEAK_MENDS.get(given.split()[0], in_both)
            raise LeakageError(
                f"{given}: {len(leaks)} validation case(s) of fold {fold} of {dataset.name} are among them: "
                f"{name_leaks(shown)}; only cases outside it may be fitted on: {mend}"
            )


def _identifier(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")
