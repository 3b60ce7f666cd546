"""The cases that ``synthaug fit`` trains on: the dataset's own and further label maps, none of them held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.cli.verbosity import detail, tell
from synthaug.errors import ConfigurationError, LeakageError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from synthaug.cli.fit_preparation import FitPreparation
    from synthaug.cli.fit_wishes import Wishes
    from synthaug.fitting.case_form import CaseForm
    from synthaug.fitting.cases import FittingCase
    from synthaug.fitting.generator_fit import FitTask
    from synthaug.generators.cases import CasePaths
    from synthaug.integrations.nnunet.dataset import NnunetDataset
    from synthaug.labels import LabelMapping
    from synthaug.volumes import CaseRecord

LEAK_MENDS = {
    "--label-maps": "leave each out with --hold-out NAME",
    "--init": "take a generator that was fitted on other cases",
}
"""By option, what to do where validation cases come in by it."""


@dataclass(frozen=True)
class FitCases:
    """The cases of a fit, read and checked.

    Attributes:
        dataset: where the pairs are from.
        prepared: settings of the fit and form of its cases.
        pairs: training cases of the fold.
        label_maps: further ones without images.
    """

    dataset: NnunetDataset
    prepared: FitPreparation
    pairs: Sequence[FittingCase]
    label_maps: Sequence[FittingCase]

    def task(self, name: str, folder: Path, budget_seconds: float, accelerator: Accelerator) -> FitTask[Any]:
        """What a fit is told.

        Args:
            name: of the generator.
            folder: of its weights.
            budget_seconds: training time over all runs.
            accelerator: of the device.
        """
        from synthaug.fitting.generator_fit import FitTask

        return FitTask(
            name=name,
            cases=[*self.pairs, *self.label_maps],
            scheme=self.prepared.form.scheme,
            channels=self.dataset.channels,
            settings=self.prepared.settings,
            folder=folder,
            budget_seconds=budget_seconds,
            accelerator=accelerator,
        )


def read_fit_cases(
    dataset: str,
    fold: str,
    wishes: Wishes,
    *preparation: Any,
    label_maps: Sequence[Path],
    held_out: Sequence[str],
    label_mapping: str | None,
    progress: Callable[[int, int], None],
    **more: Any,
) -> FitCases:
    """Read the training cases of a fold and further label maps, in the form that suits them.

    Args:
        dataset: nnU-Net dataset, number or name.
        fold: of it.
        wishes: what the user settles of a plan.
        *preparation: further arguments of ``prepare_fit``.
        label_maps: folders of further label maps.
        held_out: identifiers of those to leave out.
        label_mapping: from their scheme to the dataset's.
        progress: called with the cases that were read, and with their number.
        **more: further arguments of ``prepare_fit``.

    Raises:
        SynthAugError: something cannot be read or fitted on, or is a validation case.
    """
    from synthaug.cli.fit_preparation import prepare_fit
    from synthaug.integrations.nnunet.dataset import NnunetDataset
    from synthaug.integrations.nnunet.prepare import training_case_paths
    from synthaug.labels import LabelMapping

    found = NnunetDataset.find(dataset)
    detail(f"dataset {found.name}: raw data in {found.raw}, plans in {found.preprocessed}")
    training, validation = found.split(fold)
    detail(f"fold {fold}: {len(training)} training and {len(validation)} validation cases")
    _, _, paths = training_case_paths(dataset, fold)
    maps = find_label_maps(label_maps, held_out)
    mapping = LabelMapping.load(label_mapping) if label_mapping else None
    prepared = prepare_fit(found, paths, wishes, *preparation, progress=progress, **more)
    for note in prepared.notes:
        tell(note)
    pairs, further = load_cases(paths, maps, prepared.form, mapping)
    begun = prepared.begun
    fitted_on = {
        "--label-maps": [record for case in further for record in case.records],
        str(found.raw): [record for case in pairs for record in case.records],
        f"--init {wishes.init}": begun.config.training_cases if begun else (),
    }
    refuse_validation_cases(fitted_on, found, fold, set(validation) - set(training))
    return FitCases(found, prepared, pairs, further)


def find_label_maps(folders: Sequence[Path], held_out: Sequence[str]) -> list[Path]:
    """NIfTI files of the folders of ``--label-maps``, those of ``--hold-out`` left aside.

    Raises:
        ConfigurationError: a folder without any, or a name to hold out that none has.
    """
    from synthaug.volumes import case_identifier

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
    held_out = [case_identifier(one) for one in held_out]
    names = {case_identifier(path) for path in files}
    for one in held_out:
        if one not in names:
            raise ConfigurationError(f"--hold-out {one}: no such label map; there are {', '.join(sorted(names))}")
    kept = [path for path in files if case_identifier(path) not in held_out]
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
    from synthaug.integrations.nnunet.case_records import record_cases
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
