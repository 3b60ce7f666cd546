"""Checks of a guided LDM's configuration: what is read from a file is complete, typed and consistent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from synthaug.generators.guided_ldm_config import GuidedLDMConfig
    from synthaug.generators.latent_scale import LatentScale

SECTIONS = ("label_autoencoder", "mask_diffusion", "mask_detail", "image_autoencoder", "image_diffusion")
REQUIRED = (
    "format_version", "name", "scheme", "channels", "grid", "limits_ml", *SECTIONS, "mask_latent", "image_latent",
    "volume_prior", "intensities", "required_structures", "sampling", "licence", "training_cases", "versions",
)  # fmt: skip
OPTIONAL = ("label_offsets",)
INFORMATIVE = ("system", "null_condition", "noise_schedule", "weights")
"""Keys that are written for readers; nothing depends on them."""

MEND = "fit or fetch the generator again"


@dataclass(frozen=True)
class NetworkSizes:
    """What the networks ask of the other values.

    Attributes:
        mask_latent_channels: channels of a label-map latent.
        image_latent_channels: channels of an image latent.
        shape_multiple: the grid's shape is a multiple of it.
    """

    mask_latent_channels: int
    image_latent_channels: int
    shape_multiple: int


def check_keys(content: Mapping[str, Any]) -> None:
    """Refuse keys that are missing, unknown, or hold another kind of JSON value than they must.

    Raises:
        ConfigurationError: names the key.
    """
    known = (*REQUIRED, *OPTIONAL, *INFORMATIVE)
    for key in content:
        if key not in known:
            raise ConfigurationError(f"unknown key {key!r}{did_you_mean(key, known)}; known are {', '.join(known)}")
    for key in REQUIRED:
        if key not in content:
            raise ConfigurationError(f"key {key!r} is missing; {MEND}")
    objects = ("scheme", "grid", "limits_ml", *SECTIONS, "mask_latent", "image_latent", "volume_prior", "sampling")
    for kind, what, keys in (
        (str, "a text", ("name", "licence")),
        (list, "a list", ("channels", "intensities", "required_structures", "training_cases")),
        (dict, "an object", (*objects, "versions")),
    ):
        for key in keys:
            if not isinstance(content[key], kind):
                raise ConfigurationError(f"{key} is {_short(content[key])}; it must be {what}: {MEND}")
    for key in ("shape", "spacing_mm"):
        if not isinstance(content["grid"].get(key), list):
            raise ConfigurationError(f"grid.{key} is {_short(content['grid'].get(key))}; it must be a list: {MEND}")
    for key in content["grid"]:
        if key not in ("shape", "spacing_mm", "orientation"):
            raise ConfigurationError(f"unknown key grid.{key}; known are shape, spacing_mm, orientation")
    orientation = content["grid"].get("orientation", "RAS")
    if orientation != "RAS":
        raise ConfigurationError(f"grid.orientation is {_short(orientation)}; it must be 'RAS': {MEND}")


def check_values(config: GuidedLDMConfig) -> None:
    """Refuse values that are out of range or contradict each other.

    Raises:
        ConfigurationError: names the key.
        LabelError: a control that the scheme does not have.
    """
    if not config.name:
        raise ConfigurationError(f"name is ''; it must be a text: {MEND}")
    if not config.channels or not all(isinstance(name, str) and name for name in config.channels):
        raise ConfigurationError(f"channels is {_short(config.channels)}; it must be one or more names: {MEND}")
    shape, spacing = config.grid.shape, config.grid.spacing_mm
    if len(shape) != 3 or not all(type(size) is int and size > 0 for size in shape):
        raise ConfigurationError(f"grid.shape is {_short(shape)}; it must be three whole numbers above 0: {MEND}")
    if len(spacing) != 3 or not _all_positive(spacing):
        raise ConfigurationError(f"grid.spacing_mm is {_short(spacing)}; it must be three numbers above 0: {MEND}")
    _check_intensities(config)
    _check_offsets(config)
    for name in config.required_structures:
        config.scheme.id_of(name)
    _check_limits(config)
    _check_latent("mask_latent", config.mask_latent)
    _check_latent("image_latent", config.image_latent)
    _check_prior(config)
    for case in config.training_cases:
        hashes = (case.image_sha256, case.label_sha256)
        if not isinstance(case.identifier, str) or not all(one is None or isinstance(one, str) for one in hashes):
            raise ConfigurationError(
                f"training_cases holds {_short(case)}; each has an identifier and two hashes, text or null: {MEND}"
            )


def check_sizes(config: GuidedLDMConfig, sizes: NetworkSizes, where: str) -> None:
    """Refuse values that do not fit the networks.

    Raises:
        ConfigurationError: with ``where``, the file, and the key.
    """
    for key, latent, channels in (
        ("mask_latent", config.mask_latent, sizes.mask_latent_channels),
        ("image_latent", config.image_latent, sizes.image_latent_channels),
    ):
        if len(latent.mean) != channels:
            raise ConfigurationError(
                f"{where}: {key} has {len(latent.mean)} values, the latent {channels} channels; they must agree: {MEND}"
            )
    if any(size % sizes.shape_multiple for size in config.grid.shape):
        raise ConfigurationError(
            f"{where}: grid.shape is {_short(config.grid.shape)}; the networks take multiples of "
            f"{sizes.shape_multiple}: {MEND}"
        )


def _check_intensities(config: GuidedLDMConfig) -> None:
    fit = all(
        _all_numbers((one.zero, one.one, one.background)) and one.zero < one.one and isinstance(one.absolute, bool)
        for one in config.intensities
    )
    if len(config.intensities) != len(config.channels) or not fit:
        raise ConfigurationError(
            f"intensities must hold {len(config.channels)} scale(s), one for each channel, of finite numbers with zero "
            f"below one; it does not: {MEND}"
        )


def _check_offsets(config: GuidedLDMConfig) -> None:
    wanted, channels = config.scheme.num_classes, len(config.channels)
    rows = config.label_offsets
    if rows and not (len(rows) == wanted and all(len(row) == channels and _all_numbers(row) for row in rows)):
        raise ConfigurationError(
            f"label_offsets must hold {wanted} rows, one for each label with the background, of {channels} finite "
            f"number(s), one for each channel; it does not: {MEND}"
        )


def _check_limits(config: GuidedLDMConfig) -> None:
    if not config.limits_ml:
        raise ConfigurationError(f"limits_ml is empty; it must name one control or more: {MEND}")
    for control, (low, high) in config.limits_ml.items():
        config.scheme.resolve(control)
        if not (0 < low < high and math.isfinite(high)):
            raise ConfigurationError(
                f"limits_ml.{control} is {low:g} to {high:g} mL; allowed: two volumes with 0 < low < high: {MEND}"
            )


def _check_prior(config: GuidedLDMConfig) -> None:
    mean, covariance, count = config.volume_prior.mean, config.volume_prior.covariance, len(config.limits_ml)
    square = len(covariance) == count and all(len(row) == count for row in covariance)
    if len(mean) != count or not square or not _all_numbers([*mean, *(one for row in covariance for one in row)]):
        raise ConfigurationError(
            f"volume_prior must hold {count} finite means and as many rows of as many covariances, one for each of "
            f"limits_ml; it does not: {MEND}"
        )


def _check_latent(key: str, latent: LatentScale) -> None:
    if len(latent.mean) != len(latent.std):
        raise ConfigurationError(
            f"{key} has {len(latent.mean)} values of mean and {len(latent.std)} of std; they must be as many: {MEND}"
        )
    if not _all_numbers(latent.mean) or not _all_positive(latent.std):
        raise ConfigurationError(f"{key} must hold finite numbers, those of std above 0; it does not: {MEND}")


def _all_numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(one, Real) and not isinstance(one, bool) and math.isfinite(one) for one in values)


def _all_positive(values: Iterable[Any]) -> bool:
    found = tuple(values)
    return _all_numbers(found) and all(one > 0 for one in found)


def _short(value: Any) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
