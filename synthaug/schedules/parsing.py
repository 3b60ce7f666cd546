"""Volume schedules from texts, dictionaries and JSON files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from synthaug.errors import ConfigurationError, SynthAugError, did_you_mean
from synthaug.files.json_object import read_json_object
from synthaug.schedules.constant import Constant
from synthaug.schedules.empirical import Empirical
from synthaug.schedules.histogram_matching import HistogramMatching
from synthaug.schedules.missing_volumes import MissingVolumes
from synthaug.schedules.normal import Normal
from synthaug.schedules.piecewise import Piecewise
from synthaug.schedules.uniform import LogUniform, Uniform
from synthaug.schedules.volume_schedule import VolumeSchedule

KINDS: dict[str, type[VolumeSchedule]] = {
    one.kind: one for one in (Constant, Uniform, LogUniform, Normal, Empirical, HistogramMatching, Piecewise)
}
"""Every schedule by the name that texts and JSON give it."""

Kinds: TypeAlias = Mapping[str, type[Any]]

FORMS = (
    "constant:40, uniform:20:120, log-uniform:8:120, normal:40:10 (then lowest and highest), empirical:12:30:55, "
    "all in mL, a structure before them with '=' (lateral_ventricles=uniform:20:120), or a JSON file, NAME.json; "
    "missing:8:120 where a data set of nnU-Net is at hand"
)
"""What a text may look like."""


def parse_schedule(value: VolumeSchedule | str | Path | Mapping[str, Any]) -> VolumeSchedule:
    """Read a volume schedule.

    Args:
        value: a schedule (returned as it is), a text such as ``"uniform:20:120"`` (mL; with a structure:
            ``"lateral_ventricles=uniform:20:120"``), the path of a JSON file, or the dictionary that it would hold.

    Raises:
        ConfigurationError: no such kind of schedule, or wrong, missing or unknown entries.
        BoundsError: numbers out of range.
        SynthAugError: the file is missing or unreadable.
    """
    found = value if isinstance(value, VolumeSchedule) else _parsed(value, KINDS)
    assert isinstance(found, VolumeSchedule)
    return found


def parse_schedule_or_missing(
    value: VolumeSchedule | MissingVolumes | str | Path | Mapping[str, Any],
) -> VolumeSchedule | MissingVolumes:
    """Read a volume schedule, or the wish ``missing:8:90``, where the real cases can be measured.

    Raises:
        SynthAugError: as `parse_schedule`.
    """
    if isinstance(value, (VolumeSchedule, MissingVolumes)):
        return value
    return _parsed(value, {**KINDS, MissingVolumes.kind: MissingVolumes})


def _parsed(value: str | Path | Mapping[str, Any], kinds: Kinds) -> VolumeSchedule | MissingVolumes:
    if isinstance(value, Mapping):
        return _from_dict(value, "schedule", kinds)
    if isinstance(value, Path) or (isinstance(value, str) and value.endswith(".json")):
        content = read_json_object(Path(value), mend="write one JSON object with a 'kind'")
        try:
            return _from_dict(content, "schedule", kinds)
        except SynthAugError as error:
            raise type(error)(f"{value}: {error}") from error
    if isinstance(value, str):
        return _from_text(value, kinds)
    raise ConfigurationError(f"schedule: {value!r}; allowed: {FORMS}")


def _from_text(text: str, kinds: Kinds) -> VolumeSchedule | MissingVolumes:
    structure, separator, rest = text.rpartition("=")
    named = {"structure": structure.strip()} if separator else {}
    kind, *words = (part.strip() for part in rest.split(":"))
    where = f"schedule {text!r}"
    schedule_class = _class_of(kind, where, kinds)
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise ConfigurationError(f"{where}: volumes must be numbers; allowed: {FORMS}") from None
    if schedule_class is Empirical:
        return _from_dict({"kind": kind, "volumes_ml": numbers, **named}, where, kinds)
    numeric = [field for field in dataclasses.fields(schedule_class) if field.name != "structure"]
    due = [field for field in numeric if field.default is dataclasses.MISSING]
    if schedule_class in (HistogramMatching, Piecewise) or not len(due) <= len(numbers) <= len(numeric):
        raise ConfigurationError(f"{where}: {kind} does not take {len(numbers)} numbers in a text; allowed: {FORMS}")
    given = {field.name: number for field, number in zip(numeric, numbers, strict=False)}
    return _from_dict({"kind": kind, **given, **named}, where, kinds)


def _from_dict(content: Mapping[str, Any], where: str, kinds: Kinds) -> VolumeSchedule | MissingVolumes:
    schedule_class = _class_of(content.get("kind"), where, kinds)
    fields = {field.name: field for field in dataclasses.fields(schedule_class)}
    given = {key: value for key, value in content.items() if key != "kind"}
    problems = [f"unknown entry {key!r}{did_you_mean(str(key), fields)}" for key in given if key not in fields] + [
        f"{name!r} is missing"
        for name, field in fields.items()
        if name not in given and field.default is dataclasses.MISSING
    ]
    if problems:
        raise ConfigurationError(
            f"{where} ({schedule_class.kind}): {'; '.join(problems)}; allowed: {', '.join(fields)}"
        )
    _check_structure(given, where)
    try:
        if schedule_class is HistogramMatching:
            given["target"] = parse_schedule(given["target"])
        if schedule_class is Piecewise:
            given["stages"] = tuple((stage["until"], parse_schedule(stage["schedule"])) for stage in given["stages"])
        return schedule_class(**given)
    except SynthAugError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"{where} ({schedule_class.kind}): an entry has a wrong form ({error!r}); allowed: numbers in mL, "
            "lists of them, stages as [{'until': 0.5, 'schedule': {...}}, ...]"
        ) from error


def _check_structure(given: Mapping[str, Any], where: str) -> None:
    structure = given.get("structure", "any")
    if not isinstance(structure, str) or not structure:
        raise ConfigurationError(f"{where}: structure {structure!r}; allowed: the name of a structure or group")


def _class_of(kind: Any, where: str, kinds: Kinds) -> type[Any]:
    if isinstance(kind, str) and kind in kinds:
        return kinds[kind]
    if kind == MissingVolumes.kind:
        raise ConfigurationError(
            f"{where}: what is missing depends on the real cases, which are not known here; name it for precompute "
            f"--dataset or a study, alone, or give a JSON file of kind {HistogramMatching.kind} with their volumes"
        )
    raise ConfigurationError(
        f"{where}: kind {kind!r}{did_you_mean(str(kind), (*KINDS, MissingVolumes.kind))}; "
        f"allowed kinds: {', '.join(kinds)}; as text: {FORMS}"
    )
