"""Whether the pairs of a generator or a cache fit a training: labels, channels, spacing, field of view, leakage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthaug.diagnosis.check import Check, Status
from synthaug.errors import SynthAugError

if TYPE_CHECKING:
    from synthaug.integrations.nnunet.dataset import NnunetDataset
    from synthaug.integrations.nnunet.run_configuration import RunConfiguration
    from synthaug.store import StoreInfo

COARSER = 1.5
"""So many times the spacing of the plans, and images are visibly blurred where real ones are not."""
CONFIGURATION = "3d_fullres"


@dataclass(frozen=True)
class PairForm:
    """What the pairs of a generator or a cache are like.

    Attributes:
        made_by: scheme, channels and training cases.
        spacing_mm: of the pairs; None where there is none yet.
        shape: of the pairs in voxels; likewise.
        what: for messages: ``cache FOLDER``, ``generator NAME``.
    """

    made_by: StoreInfo
    spacing_mm: tuple[float, ...] | None
    shape: tuple[int, ...] | None
    what: str


def check_fit(form: PairForm, dataset: NnunetDataset, fold: int | str) -> list[Check]:
    """Whether a data set can be trained on such pairs.

    Args:
        form: of the pairs.
        dataset: what is trained.
        fold: of it.
    """
    from synthaug.integrations.nnunet.run_configuration import read_configuration

    number = str(int(dataset.name.removeprefix("Dataset").split("_")[0]))
    try:
        configuration = read_configuration(dataset.preprocessed)
    except SynthAugError as mistake:
        path = dataset.preprocessed / "synthaug.json"
        mend = f"mend {path}, or delete it and run synthaug precompute --dataset {number}"
        return [Check("training configuration", "failed", str(mistake), mend)]
    fit = f"synthaug fit {number} --fold {fold} --out my-generator"
    return [
        _check_labels(form, dataset, configuration, number),
        _check_channels(form, dataset, configuration, fit),
        *_check_geometry(form, dataset, fit),
        _check_leakage(form, dataset, configuration, fold, number, fit),
    ]


def _check_labels(form: PairForm, dataset: NnunetDataset, configuration: RunConfiguration, number: str) -> Check:
    from synthaug.integrations.nnunet.label_mapping import describe_mapping, map_labels

    try:
        mapping = map_labels(
            form.made_by.scheme,
            dataset.scheme,
            configuration.mapping,
            configuration.allow_missing_labels,
            where=str(dataset.preprocessed / "synthaug.json"),
        )
    except SynthAugError as mistake:
        precompute = f"synthaug precompute --dataset {number} --mapping mapping.json"
        mend = f"write {{structure: label}} into mapping.json; {precompute}"
        return Check("labels", "failed", f"{form.what}: {mistake}", mend)
    return Check("labels", "ok", f"{form.what} to {dataset.name}: {describe_mapping(mapping)}")


def _check_channels(form: PairForm, dataset: NnunetDataset, configuration: RunConfiguration, fit: str) -> Check:
    from synthaug.volumes.channels import match_channels

    try:
        match_channels(dataset.channels, form.made_by.channels, configuration.channels)
    except SynthAugError as mistake:
        return Check("channels", "failed", f"{form.what}: {mistake}", fit)
    return Check("channels", "ok", f"{', '.join(form.made_by.channels)} for {', '.join(dataset.channels)}")


def _check_geometry(form: PairForm, dataset: NnunetDataset, fit: str) -> list[Check]:
    """Spacing and field of view beside what the plans have; nothing where either is not there yet."""
    try:
        planned: Mapping[str, Any] = dataset.plans()["configurations"][CONFIGURATION]
        spacing = [float(edge) for edge in planned["spacing"]]
        patch_mm = [float(edge) * voxels for edge, voxels in zip(spacing, planned["patch_size"], strict=True)]
    except (SynthAugError, KeyError, TypeError, ValueError):
        return []
    if form.spacing_mm is None or form.shape is None:
        return []
    checks = []
    # plans have their axes in another order: finest and coarsest edges are compared
    found = f"pairs of {_times(form.spacing_mm)} mm, plans of {_times(spacing)} mm"
    if any(own > COARSER * wanted for own, wanted in zip(sorted(form.spacing_mm), sorted(spacing), strict=True)):
        mend = f"{fit} (it plans a finer spacing where budget and memory allow)"
        checks.append(Check("spacing", "warning", f"{found}: pairs are more blurred than real cases", mend))
    else:
        checks.append(Check("spacing", "ok", found))
    extent_mm = [voxels * edge for voxels, edge in zip(form.shape, form.spacing_mm, strict=True)]
    found = f"pairs of {_times(extent_mm)} mm, patches of {_times(patch_mm)} mm"
    if any(own < 0.75 * wanted for own, wanted in zip(sorted(extent_mm), sorted(patch_mm), strict=True)):
        checks.append(Check("field of view", "warning", f"{found}: patches of pairs are padded with background", fit))
    else:
        checks.append(Check("field of view", "ok", found))
    return checks


def _check_leakage(
    form: PairForm, dataset: NnunetDataset, configuration: RunConfiguration, fold: int | str, number: str, fit: str
) -> Check:
    from synthaug.integrations.nnunet.case_records import held_out_records
    from synthaug.integrations.nnunet.leakage import find_shared
    from synthaug.leakage import find_leaks, name_leaks

    try:
        training, validation = dataset.split(fold)
    except SynthAugError as mistake:
        return Check("leakage", "failed", str(mistake), "give another --fold, or plan the data set")
    status: Status = "warning" if configuration.allow_leakage else "failed"
    shared = find_shared(configuration, fold, training, validation)
    if shared:
        found = f"fold {fold} trains on {len(shared)} of its validation cases: {name_leaks(shared)}"
        return Check("leakage", status, found, "mend splits_final.json, or choose fold all, which holds nothing out")
    if not form.made_by.training_cases:
        return Check("leakage", "ok", f"{form.what} was fitted on no real case")
    notes: list[str] = []
    leaks = find_leaks(
        form.made_by.training_cases, held_out_records(dataset, configuration, training, validation, notes.append)
    )
    count = len(set(validation) - set(training))
    if leaks:
        named = name_leaks(leaks)
        found = f"{form.what} was fitted on {len(leaks)} of {count} validation cases of fold {fold}: {named}"
        mend = f"{fit}; synthaug precompute --generator my-generator --dataset {number} --fold {fold}"
        return Check("leakage", status, found, mend)
    return Check("leakage", "ok", f"{form.what} has seen none of {count} validation cases of fold {fold}")


def _times(numbers: Any) -> str:
    return " x ".join(f"{number:.3g}" for number in numbers)
