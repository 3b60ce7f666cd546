"""What ``nnUNetv2_train`` cannot be told on its command line: ``synthaug.json`` and the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from synthaug.configuration import allowed, config_to_dict, load_config
from synthaug.errors import ConfigurationError
from synthaug.files.atomic import replace_file
from synthaug.files.json_object import read_json_object
from synthaug.live.options import LiveOptions
from synthaug.schedules import MissingVolumes, MixSchedule, VolumeSchedule, parse_mix, parse_schedule_or_missing
from synthaug.volumes import CaseRecord

FILE_NAME = "synthaug.json"
NOT_SETTINGS = ("SYNTHAUG_NO_AUTODISCOVERY",)
"""Variables with synthaug's prefix that configure something else."""


def _parse_optional_schedule(value: Any) -> VolumeSchedule | MissingVolumes | None:
    return None if value is None or value == "" else parse_schedule_or_missing(value)


@dataclass(frozen=True)
class CaseHashes:
    """Content of one real case, so that a node without the raw data can still recognise it.

    Attributes:
        image: SHA-256 of the image, or None where it could not be read.
        label: SHA-256 of the label map.
    """

    image: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Prepared:
    """What was found when the training was prepared; written by ``synthaug precompute --dataset``, not by hand.

    Attributes:
        generator: Name of the generator that made the cache.
        fingerprint: SHA-256 of its weights and configuration: a cache that was replaced since is noticed.
        cases: Content of the dataset's cases, for the leakage guard.
    """

    generator: str = ""
    fingerprint: str = ""
    cases: dict[str, CaseHashes] = field(default_factory=dict)


@dataclass(frozen=True)
class RunConfiguration:
    """Settings of a training with synthetic cases.

    Attributes:
        cache: Folder of the cache, absolute or relative to ``synthaug.json``; empty for the default place.
        mix: Share of synthetic cases over the training: ``0.5``, ``"mixed:0.5"``, ``"synthetic-then-real"``, stages.
        ratio: The same as a plain number; takes the place of ``mix``.
        schedule: Volumes of the structure that is drawn by; None draws every case of the cache alike. What is missing
            is told for each fold from its own training cases, when its training begins.
        mapping: Generator's structure to dataset's label; what is left out is proposed from the names.
        allow_missing_labels: Labels of the dataset that synthetic cases need not have.
        channels: Dataset's channel to generator's channel, where their names do not tell.
        seed: Seed of all draws.
        epochs: Number of epochs in place of the trainer's own.
        iterations: Training iterations in an epoch, likewise.
        validation_iterations: Validation iterations in an epoch, likewise.
        save_every: Epochs from one checkpoint to the next, likewise; nnU-Net has 50.
        allow_leakage: Train although the generator, or the fold itself, has seen validation cases; recorded in the
            output folder.
        source: ``cache`` draws from a cache that stays as it is; ``live`` has pairs made while the training runs, and
            begins with those of the cache if there is one.
        live: How pairs are made while the training runs.
        device: Where the generator runs then: ``auto``, ``cpu``, ``cuda:1``...
        generator: Makes the default cache where none was prepared, and what is made while the training runs.
        automatic_cases: Number of cases of the default cache.
        prepared: What was found when the training was prepared.
    """

    cache: str = ""
    mix: MixSchedule = field(
        default_factory=lambda: parse_mix("mixed"), metadata=allowed(parse=parse_mix, help="share of synthetic cases")
    )
    ratio: float | None = field(default=None, metadata=allowed(low=0, high=1))
    schedule: VolumeSchedule | MissingVolumes | None = field(
        default=None, metadata=allowed(parse=_parse_optional_schedule, help="a volume schedule such as uniform:20:120")
    )
    mapping: dict[str, str] = field(default_factory=dict)
    allow_missing_labels: tuple[str, ...] = ()
    channels: dict[str, str] = field(default_factory=dict)
    seed: int = field(default=0, metadata=allowed(low=0))
    epochs: int | None = field(default=None, metadata=allowed(low=1))
    iterations: int | None = field(default=None, metadata=allowed(low=1))
    validation_iterations: int | None = field(default=None, metadata=allowed(low=1))
    save_every: int | None = field(default=None, metadata=allowed(low=1))
    allow_leakage: bool = False
    source: Literal["cache", "live"] = "cache"
    live: LiveOptions = field(default_factory=LiveOptions)
    device: str = "auto"
    generator: str = "ventricles-t1-1mm"
    automatic_cases: int = field(default=16, metadata=allowed(low=1))
    prepared: Prepared = field(default_factory=Prepared)

    def cache_folder(self, dataset_folder: Path) -> Path:
        """The cache: as configured, or at the default place.

        Args:
            dataset_folder: The dataset's folder in ``nnUNet_preprocessed``, in which ``synthaug.json`` lies.
        """
        return dataset_folder / (Path(self.cache).expanduser() if self.cache else DEFAULT_CACHE)

    def record_of(self, identifier: str) -> CaseRecord | None:
        """The content of a real case, if it was recorded."""
        hashes = self.prepared.cases.get(identifier)
        return CaseRecord(identifier, hashes.image, hashes.label) if hashes else None


DEFAULT_CACHE = Path("synthaug") / "cache"
"""Place of the cache in the dataset's folder in ``nnUNet_preprocessed``."""


def read_configuration(
    dataset_folder: Path, environment: Mapping[str, str] | None = None, trainer_mix: str | None = None
) -> RunConfiguration:
    """Read the configuration of a dataset.

    The environment (``SYNTHAUG_RATIO=0.25``) wins over the trainer's own mix, and that over the file; a file that
    asks for the trainer's kind of mix with other numbers (``synthetic-then-real:0.3``) is left its numbers.

    Args:
        dataset_folder: The dataset's folder in ``nnUNet_preprocessed``.
        environment: Variables; ``os.environ`` if None.
        trainer_mix: The mix that a trainer stands for, such as ``synthetic``.

    Returns:
        The configuration, with ``mix`` decided and ``ratio`` None.

    Raises:
        ConfigurationError: Every wrong key and value together.
    """
    environment = os.environ if environment is None else environment
    path = dataset_folder / FILE_NAME
    content = read_json_object(path) if path.is_file() else {}
    given = [name for name in ("SYNTHAUG_RATIO", "SYNTHAUG_MIX") if name in environment]
    for where, both in (
        (str(path), content.get("ratio") is not None and "mix" in content),
        ("environment", len(given) == 2),
    ):
        if both:
            raise ConfigurationError(f"{where}: ratio and mix both say how much is synthetic; keep one of them")
    if trainer_mix is not None and _kind_of_mix(content.get("mix")) != trainer_mix:
        content = {**content, "mix": trainer_mix, "ratio": None}
    if given:
        content = {key: value for key, value in content.items() if key not in ("ratio", "mix")}
    where = f"{path} and environment" if content else "environment"
    configuration = load_config(RunConfiguration, content, environment=environment, where=where, ignore=NOT_SETTINGS)
    if configuration.ratio is not None:
        configuration = replace(configuration, mix=parse_mix(configuration.ratio), ratio=None)
    if "SYNTHAUG_CACHE" in environment:
        # a relative path is meant from where the command is run; what the file says about the generator is about the
        # file's own cache
        cache = str(Path(configuration.cache).expanduser().absolute())
        prepared = replace(configuration.prepared, generator="", fingerprint="")
        configuration = replace(configuration, cache=cache, prepared=prepared)
    return configuration


def _kind_of_mix(mix: Any) -> str:
    return str(mix.get("name", "") if isinstance(mix, Mapping) else mix).split(":")[0]


def write_configuration(configuration: RunConfiguration, path: Path, **more: Any) -> None:
    """Write a configuration at once, so that a reader never meets half of it.

    Args:
        configuration: The configuration.
        path: The file.
        **more: Further entries, for a record that is not read back.
    """
    content = {key: value for key, value in config_to_dict(configuration).items() if value not in (None, "", [], {})}
    if _is_text_of(configuration.mix):
        content["mix"] = configuration.mix.name  # the short form is easier to change by hand
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, (json.dumps({**content, **more}, indent=2) + "\n").encode())


def _is_text_of(mix: MixSchedule) -> bool:
    try:
        return parse_mix(mix.name) == mix
    except ConfigurationError:
        return False
