"""What the fit of every system does: it fills a bank, trains stage after stage, and writes a generator.

Every part of the work is resumed where it stopped.
"""

from __future__ import annotations

import logging
import math
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from synthaug.files.atomic import replace_file
from synthaug.files.canonical_json import canonical_json
from synthaug.files.compact_weights import compact
from synthaug.files.tensors import write_tensors
from synthaug.fitting.bank import Bank, refuse_repeated_identifiers
from synthaug.fitting.calibration import label_offsets, structures_of_all, trial_label_maps
from synthaug.fitting.cases import FittingCase, always_present
from synthaug.fitting.crops import LabelMirror
from synthaug.fitting.settings import FitSettings
from synthaug.fitting.stage import Network, Stage, StageSettings, Turn
from synthaug.fitting.work_identity import refuse_other_work
from synthaug.generators.config_file import CONFIG_NAME
from synthaug.generators.generator_config import GeneratorConfig
from synthaug.generators.intensity_scale import IntensityScale
from synthaug.generators.weights_generator import TwoStageGenerator, WeightsGenerator
from synthaug.labels import LabelScheme
from synthaug.networks.precision import choose_dtype
from synthaug.volumes.grid import Grid
from synthaug.warps.growth import growth_rates

logger = logging.getLogger(__name__)

MEND_SETTINGS = "mend the arguments of the networks in the settings"

LEAST_RANGE = 1.1
"""Least ratio of a control's bounds."""

Config = TypeVar("Config", bound=GeneratorConfig)
Settings = TypeVar("Settings", bound=FitSettings)


@dataclass(frozen=True, kw_only=True)
class FitTask(Generic[Settings]):
    """What is fitted to what, where, and for how long.

    Attributes:
        name: name of the generator.
        cases: training cases; some may lack an image where the system learns from label maps alone, too.
        scheme: label scheme.
        channels: names of the image channels.
        settings: of the system.
        folder: where the generator goes.
        budget_seconds: training time over all runs; the bank and what is measured come on top.
        accelerator: device and precision.
    """

    name: str
    cases: Sequence[FittingCase]
    scheme: LabelScheme
    channels: Sequence[str]
    settings: Settings
    folder: Path
    budget_seconds: float
    accelerator: Accelerator

    @property
    def training_seconds(self) -> float:
        """What the bank leaves for the stages."""
        return (1 - self.settings.bank.share) * self.budget_seconds

    def common(self) -> dict[str, Any]:
        """What the configurations of all systems say; limits are those of the settings until others are measured."""
        settings = self.settings
        return {
            "name": self.name,
            "scheme": self.scheme,
            "channels": tuple(self.channels),
            "grid": Grid(settings.shape, (settings.spacing_mm,) * 3),
            "limits_ml": {control: settings.limits_ml.get(control, (0.0, 0.0)) for control in settings.controls},
            "intensities": tuple(
                IntensityScale.middling(list(scales))
                for scales in zip(*(case.scales for case in self.cases if case.scales), strict=True)
            ),
            "required_structures": always_present(self.cases, self.scheme),
            "licence": settings.licence,
            "training_cases": tuple(record for case in self.cases for record in case.records),
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "monai", "diffusers")},
            },
        }


class GeneratorFit(ABC, Generic[Config, Settings]):
    """One fit in one folder: ``work/`` holds what is resumed, the folder itself the finished generator.

    A system has its name in ``system``, and sets ``_config``, whose measured values it fills in on the way, and
    ``_seconds``, the time of each stage.

    Args:
        task: what is fitted.

    Raises:
        ConfigurationError: two cases with one identifier, or sizes that do not fit.
    """

    system: ClassVar[str]
    _config: Config
    _seconds: Mapping[str, float]

    def __init__(self, task: FitTask[Settings]) -> None:
        refuse_repeated_identifiers(task.cases)
        settings = task.settings
        self._cases = task.cases
        self._settings = settings
        self._folder = task.folder
        self._work = task.folder / "work"
        self._bank_seconds = settings.bank.share * task.budget_seconds or math.inf
        self._accelerator = task.accelerator
        self._device = task.accelerator.device
        self._dtype = choose_dtype(self._device)
        self._mirror = LabelMirror(task.scheme.mirror_ids(), flips=settings.mirror)
        self._bank = Bank(self._work / "bank")
        set_seed(settings.seed)  # the networks' first weights, which the libraries draw from torch's own generator

    @abstractmethod
    def _train(self, deadline: float | None) -> Mapping[str, nn.Module]:
        """Train what is not yet trained; the networks by the stem of their file's name."""

    def _identity(self) -> dict[str, Any]:
        """What makes the work another one; JSON-ready."""
        return {
            "system": self.system,
            "settings": asdict(self._settings),
            "scheme": self._config.scheme.to_dict(),
            "cases": [asdict(case) for case in self._config.training_cases],
        }

    def run(
        self, *, deadline: float | None = None, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Path:
        """Fit what is not yet fitted, and write the generator.

        Args:
            deadline: wall-clock time (``time.time()``) at which to stop.
            progress: called while the bank is built, with the items done and in all.

        Returns:
            The generator's folder.

        Raises:
            DeadlineReached: the deadline came first; run again to go on.
        """
        identity = canonical_json(self._identity())
        refuse_other_work(self._work / "fit.json", identity, "the work of a fit with other cases or settings")
        self._build_bank(progress)
        self._write(self._train(deadline))
        return self._folder

    def _build_bank(self, progress: Callable[[int, int], None]) -> None:
        scheme, settings = self._config.scheme, self._settings
        fluid = [identifier for name in settings.fluid if name in scheme.names for identifier in scheme.resolve(name)]
        with self._accelerator.main_process_first():
            self._bank.build(
                self._cases,
                settings.bank,
                growth=growth_rates(scheme, scheme.resolve(settings.controls[0])),
                fluid_ids=fluid,
                spacing_mm=settings.spacing_mm,
                seed=settings.seed,
                seconds=self._bank_seconds,
                progress=progress,
            )

    def _stage(
        self, name: str, network: Network, turns: Sequence[Turn[Network]], settings: StageSettings
    ) -> Stage[Network]:
        return Stage(
            name,
            self._work,
            network,
            turns,
            settings,
            budget_seconds=self._seconds[name],
            accelerator=self._accelerator,
            seed=self._settings.seed,
        )

    def _limits(self, volumes_ml: torch.Tensor) -> dict[str, tuple[float, float]]:
        """Bounds of the controls in mL: those of the settings, else the range of training maps that have any of it.

        They are never empty and never zero, since conditions are logarithms.

        Args:
            volumes_ml: of the training maps, ``(N, controls)``.
        """
        found, least = {}, self._config.grid.voxel_volume_ml
        for control, values in zip(self._settings.controls, volumes_ml.T, strict=True):
            present = values[values > 0]
            low = max(float(present.min()), least) if len(present) else least
            measured = (low, max(float(values.max()), LEAST_RANGE * low))
            found[control] = self._settings.limits_ml.get(control, measured)
        return found

    def _calibrate(self, generator: WeightsGenerator, *, masks: bool = True) -> None:
        """Ask of label maps no structure that trials lack, and give structures their mean intensities.

        Args:
            generator: with the trained networks.
            masks: whether the label maps are of this fit.
        """
        trials = trial_label_maps(generator, seed=self._settings.seed)
        if masks:
            made = structures_of_all(self._config.required_structures, trials, self._config.scheme)
            self._update(required_structures=made)
        if isinstance(generator, TwoStageGenerator):
            pairs = self._bank.unwarped("pairs")
            self._update(label_offsets=label_offsets(generator, pairs, trials, seed=self._settings.seed))

    def _update(self, **changes: Any) -> None:
        self._config = replace(self._config, **changes)

    def _write(self, networks: Mapping[str, nn.Module]) -> None:
        """Write the generator: weights in their compact form, configuration last."""
        if not self._accelerator.is_main_process:
            return
        for name, network in networks.items():
            write_tensors(self._folder / f"{name}.safetensors", compact(network.state_dict()))
        replace_file(self._folder / CONFIG_NAME, canonical_json(self._config.to_dict()).encode())
        logger.info("wrote %s at %s", self._folder, time.strftime("%H:%M:%S"))
