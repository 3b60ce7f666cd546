"""Checks that the configurations of all systems share: what is read from a file is complete, typed and consistent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError, SynthAugError, did_you_mean
from synthaug.files.plain_name import ALLOWED, is_plain_name

if TYPE_CHECKING:
    from synthaug.generators.generator_config import GeneratorConfig

REQUIRED = (
    "format_version", "name", "scheme", "channels", "grid", "limits_ml", "intensities", "required_structures",
    "sampling", "licence", "training_cases", "versions",
)  # fmt: skip
OPTIONAL = ("label_offsets",)

MEND = "fit or fetch the generator again"


def check_format(content: Mapping[str, Any], systems: Sequence[str], version: int, where: str) -> None:
    """Refuse the configuration of another system, or of another version.

    Raises:
        ConfigurationError: names the system, or the version.
    """
    system, found = content.get("system"), content.get("format_version")
    if system not in systems:
        raise ConfigurationError(
            f"{where}: is of the system {system!r}; {' or '.join(systems)} is needed here: name another generator"
        )
    if found != version:
        is_older = isinstance(found, int) and found < version
        mend = "fit or fetch it again, or install" if is_older else "install"
        raise ConfigurationError(
            f"{where}: format_version is {found!r}; this version of synthaug reads {version}: {mend} the synthaug "
            "version that wrote it"
        )


@contextmanager
def told_with_file(where: str, system: str) -> Iterator[None]:
    """Name the file in whatever is wrong with what it holds.

    Raises:
        ConfigurationError: in the place of any error of a value.
    """
    try:
        yield
    except SynthAugError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise ConfigurationError(f"{where}: not a configuration of {system} ({error!r}); {MEND}") from error


def check_keys(
    content: Mapping[str, Any], objects: Sequence[str], informative: Sequence[str], optional: Sequence[str] = ()
) -> None:
    """Refuse keys that are missing, unknown, or hold another kind of JSON value than they must.

    Args:
        content: what the file holds.
        objects: keys of a system's own, each a JSON object.
        informative: keys that are written for readers; nothing depends on them.
        optional: further objects of the system's own, which may be missing.

    Raises:
        ConfigurationError: names the key.
    """
    required = (*REQUIRED, *objects)
    known = (*required, *OPTIONAL, *optional, *informative)
    for key in content:
        if key not in known:
            raise ConfigurationError(f"unknown key {key!r}{did_you_mean(key, known)}; known are {', '.join(known)}")
    for key in required:
        if key not in content:
            raise ConfigurationError(f"key {key!r} is missing; {MEND}")
    for kind, what, keys in (
        (str, "a text", ("name", "licence")),
        (list, "a list", ("channels", "intensities", "required_structures", "training_cases")),
        (dict, "an object", ("scheme", "grid", "limits_ml", "sampling", "versions", *objects)),
    ):
        for key in keys:
            if not isinstance(content[key], kind):
                raise ConfigurationError(f"{key} is {short(content[key])}; it must be {what}: {MEND}")
    for key in ("shape", "spacing_mm"):
        if not isinstance(content["grid"].get(key), list):
            raise ConfigurationError(f"grid.{key} is {short(content['grid'].get(key))}; it must be a list: {MEND}")
    for key in content["grid"]:
        if key not in ("shape", "spacing_mm", "orientation"):
            raise ConfigurationError(f"unknown key grid.{key}; known are shape, spacing_mm, orientation")
    orientation = content["grid"].get("orientation", "RAS")
    if orientation != "RAS":
        raise ConfigurationError(f"grid.orientation is {short(orientation)}; it must be 'RAS': {MEND}")


def check_values(config: GeneratorConfig) -> None:
    """Refuse values that are out of range or contradict each other.

    Raises:
        ConfigurationError: names the key.
        LabelError: a control that the scheme does not have.
    """
    if not is_plain_name(config.name):  # pairs have it in the names of their files
        raise ConfigurationError(f"name is {short(config.name)}; allowed: {ALLOWED}: {MEND}")
    if not config.channels or not all(isinstance(name, str) and name for name in config.channels):
        raise ConfigurationError(f"channels is {short(config.channels)}; it must be one or more names: {MEND}")
    shape, spacing = config.grid.shape, config.grid.spacing_mm
    if len(shape) != 3 or not all(type(size) is int and size > 0 for size in shape):
        raise ConfigurationError(f"grid.shape is {short(shape)}; it must be three whole numbers above 0: {MEND}")
    if len(spacing) != 3 or not all_positive(spacing):
        raise ConfigurationError(f"grid.spacing_mm is {short(spacing)}; it must be three numbers above 0: {MEND}")
    _check_intensities(config)
    _check_offsets(config)
    for name in config.required_structures:
        config.scheme.resolve(name)
    _check_limits(config)
    for case in config.training_cases:
        hashes = (case.image_sha256, case.label_sha256)
        if not isinstance(case.identifier, str) or not all(one is None or isinstance(one, str) for one in hashes):
            raise ConfigurationError(
                f"training_cases holds {short(case)}; each has an identifier and two hashes, text or null: {MEND}"
            )


def _check_intensities(config: GeneratorConfig) -> None:
    fit = all(
        all_numbers((one.zero, one.one, one.background)) and one.zero < one.one and isinstance(one.absolute, bool)
        for one in config.intensities
    )
    if len(config.intensities) != len(config.channels) or not fit:
        raise ConfigurationError(
            f"intensities must hold {len(config.channels)} scale(s), one for each channel, of finite numbers with zero "
            f"below one; it does not: {MEND}"
        )


def _check_offsets(config: GeneratorConfig) -> None:
    wanted, channels = config.scheme.num_classes, len(config.channels)
    rows = config.label_offsets
    if rows and not (len(rows) == wanted and all(len(row) == channels and all_numbers(row) for row in rows)):
        raise ConfigurationError(
            f"label_offsets must hold {wanted} rows, one for each label with the background, of {channels} finite "
            f"number(s), one for each channel; it does not: {MEND}"
        )


def _check_limits(config: GeneratorConfig) -> None:
    if not config.limits_ml:
        raise ConfigurationError(f"limits_ml is empty; it must name one control or more: {MEND}")
    for control, (low, high) in config.limits_ml.items():
        config.scheme.resolve(control)
        if not (0 < low < high and math.isfinite(high)):
            raise ConfigurationError(
                f"limits_ml.{control} is {low:g} to {high:g} mL; allowed: two volumes with 0 < low < high: {MEND}"
            )


def all_numbers(values: Iterable[Any]) -> bool:
    """Whether all are finite numbers."""
    return all(isinstance(one, Real) and not isinstance(one, bool) and math.isfinite(one) for one in values)


def all_positive(values: Iterable[Any]) -> bool:
    """Whether all are finite numbers above 0."""
    found = tuple(values)
    return all_numbers(found) and all(one > 0 for one in found)


def short(value: Any) -> str:
    """A value for an error, cut where it is long."""
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
