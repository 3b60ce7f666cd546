"""From the command line of ``synthaug fit`` to the settings of a fit and the form of its cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from synthaug.cli.fit_wishes import Wishes
from synthaug.configuration import load_config
from synthaug.errors import ConfigurationError
from synthaug.files.json_object import read_json_object
from synthaug.fitting.case_checks import check_count
from synthaug.fitting.case_form import CaseForm
from synthaug.fitting.dataset_survey import DatasetSurvey
from synthaug.fitting.fit_plan import plan_fit
from synthaug.fitting.guided_ldm_settings import GuidedLDMSettings
from synthaug.fitting.settings import FitSettings
from synthaug.generators.cases import CasePaths
from synthaug.generators.guided_ldm import GuidedLDM, GuidedLDMFolder
from synthaug.generators.registry import find_generator
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.labels import is_tissue_class, propose_mapping
from synthaug.volumes.grid import Grid


@dataclass(frozen=True)
class FitPreparation:
    """All that a fit needs beside its cases.

    Attributes:
        settings: of the fit.
        form: of the cases.
        notes: what was chosen and why, a line each.
        begun: the generator to go on from, if any.
    """

    settings: FitSettings
    form: CaseForm
    notes: tuple[str, ...]
    begun: GuidedLDMFolder | None = None


def read_settings(path: Path, form: type[FitSettings]) -> FitSettings:
    """The settings of a fit from the file of ``--settings``.

    Raises:
        ConfigurationError: it cannot be read, or has a wrong key or value.
    """
    try:
        content = read_json_object(path, mend="give a settings file, such as the settings.json of a shipped generator")
    except ConfigurationError as error:
        raise ConfigurationError(f"--settings {error}") from None
    return load_config(form, content, where=str(path))


def prepare_fit(
    dataset: NnunetDataset,
    paths: Sequence[CasePaths],
    wishes: Wishes,
    given: FitSettings | None,
    complete: Callable[[FitSettings, int], FitSettings],
    *,
    where: str,
    budget_seconds: float,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FitPreparation:
    """Read and check the training cases, and choose what the command line leaves open.

    Args:
        dataset: the dataset.
        paths: its training cases.
        wishes: what the user settles of a plan.
        given: settings instead of a plan.
        complete: settings of the system's own, from those of a plan and the number of classes.
        where: the settings' file, which errors name.
        budget_seconds: training time.
        device: where the networks will be.
        progress: called with the cases that were read, and with their number.

    Raises:
        SynthAugError: a case that cannot be fitted on, or a wish that the dataset does not allow.
    """
    if wishes.init is not None:
        return _from_generator(dataset, wishes.init, train_masks=wishes.train_masks)
    survey = DatasetSurvey.of(paths, dataset.scheme, dataset.channels, progress)
    notes: tuple[str, ...] = ()
    if given is None:
        memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0
        plan = plan_fit(
            survey,
            complete,
            budget_seconds=budget_seconds,
            gpu_bytes=memory,
            spacing_mm=_planned_spacing(dataset),
            controls=wishes.controls,
            extend_ml=wishes.extend_ml,
        )
        given, notes = plan.settings, plan.notes
    given.check_split(dataset.scheme, where)
    form = survey.form(Grid(given.shape, (given.spacing_mm,) * 3), given.unlabelled_classes, given.split)
    check_count(form.scheme, where)
    given.check(form.scheme, where)
    return FitPreparation(given, form, notes)


def _from_generator(dataset: NnunetDataset, name: str, *, train_masks: bool) -> FitPreparation:
    """Cases in the form of a generator that is trained on."""
    begun = GuidedLDM.read(find_generator(name))
    config = begun.config
    if any(is_tissue_class(one, config.scheme) for one in config.scheme.names):
        raise ConfigurationError(
            f"--init {name}: splits tissue by intensity, which another dataset's cases cannot be; take a generator "
            "whose cases are labelled throughout"
        )
    if len(dataset.channels) != len(config.channels):
        raise ConfigurationError(
            f"--init {name}: has {len(config.channels)} channel(s), {dataset.name} {len(dataset.channels)}; they must "
            "be as many"
        )
    source = replace(dataset.scheme, ignore_id=None)
    form = replace(
        CaseForm.plain(dataset.scheme, dataset.channels, config.grid), mapping=propose_mapping(source, config.scheme)
    )
    parts = "label maps and images are" if train_masks else "images are"
    note = f"begins with the weights of {config.name}, {config.licence}; its {parts} fitted to {dataset.name}"
    return FitPreparation(GuidedLDMSettings().like(config, masks=train_masks), form, (note,), begun)


def _planned_spacing(dataset: NnunetDataset) -> list[float] | None:
    """Spacing in mm of nnU-Net's plans, if it has made some."""
    try:
        configurations: dict[str, Any] = dataset.plans()["configurations"]
        return [float(edge) for edge in configurations["3d_fullres"]["spacing"]]
    except (ConfigurationError, KeyError, TypeError, ValueError):
        return None
