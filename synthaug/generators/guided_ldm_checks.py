"""Checks of a guided LDM's configuration beyond those that all systems share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from synthaug.errors import ConfigurationError
from synthaug.generators import config_checks
from synthaug.generators.config_checks import MEND, all_numbers, all_positive, short
from synthaug.labels.scheme import BACKGROUND

if TYPE_CHECKING:
    from synthaug.generators.guided_ldm_config import GuidedLDMConfig
    from synthaug.generators.latent_scale import LatentScale

SECTIONS = (
    "label_autoencoder",
    "mask_diffusion",
    "mask_detail_0",
    "mask_detail_1",
    "image_autoencoder",
    "image_diffusion",
)
OBJECTS = (*SECTIONS, "mask_latent", "image_latent", "volume_prior")
MOST = 1e6
"""Of the numbers of a normal range, which are shares, and logarithms of mL."""

INFORMATIVE = ("system", "null_condition", "noise_schedule", "weights")
"""Keys that are written for readers; nothing depends on them."""


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
    config_checks.check_keys(content, OBJECTS, INFORMATIVE, optional=("normal_range",))


def check_values(config: GuidedLDMConfig) -> None:
    """Refuse values that are out of range or contradict each other.

    Raises:
        ConfigurationError: names the key.
        LabelError: a control that the scheme does not have.
    """
    config_checks.check_values(config)
    _check_latent("mask_latent", config.mask_latent)
    _check_latent("image_latent", config.image_latent)
    _check_prior(config)
    _check_normal_range(config)
    for name in (*config.sampling.thin, *config.sampling.one_piece, *config.sampling.enclosed):
        config.scheme.resolve(name)


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
            f"{where}: grid.shape is {short(config.grid.shape)}; the networks take multiples of "
            f"{sizes.shape_multiple}: {MEND}"
        )


def _check_prior(config: GuidedLDMConfig) -> None:
    mean, covariance, count = config.volume_prior.mean, config.volume_prior.covariance, len(config.limits_ml)
    square = len(covariance) == count and all(len(row) == count for row in covariance)
    if len(mean) != count or not square or not all_numbers([*mean, *(one for row in covariance for one in row)]):
        raise ConfigurationError(
            f"volume_prior must hold {count} finite means and as many rows of as many covariances, one for each of "
            f"limits_ml; it does not: {MEND}"
        )


def _check_normal_range(config: GuidedLDMConfig) -> None:
    if config.normal_range is None:
        return
    volumes, contacts = config.normal_range.volumes, config.normal_range.contacts
    for name in {*volumes, *(one for pair in contacts for one in pair)} - {BACKGROUND}:
        config.scheme.id_of(name)
    if BACKGROUND in volumes:
        raise ConfigurationError(f"normal_range.volumes: the {BACKGROUND} is no structure: {MEND}")
    for name, neighbour in contacts:
        if name in (BACKGROUND, neighbour):
            raise ConfigurationError(f"normal_range.contacts: {name} with {neighbour} is no contact: {MEND}")
    trends = [*volumes.values(), *contacts.values()]
    numbers = [one for trend in trends for one in astuple(trend)]
    if (
        not all_numbers(numbers)
        or max(map(abs, numbers), default=0) > MOST
        or not all_positive([trend.reach for trend in trends])
    ):
        raise ConfigurationError(
            f"normal_range must hold numbers up to {MOST:g}, the reaches above 0; it does not: {MEND}"
        )


def _check_latent(key: str, latent: LatentScale) -> None:
    if len(latent.mean) != len(latent.std):
        raise ConfigurationError(
            f"{key} has {len(latent.mean)} values of mean and {len(latent.std)} of std; they must be as many: {MEND}"
        )
    if not all_numbers(latent.mean) or not all_positive(latent.std):
        raise ConfigurationError(f"{key} must hold finite numbers, those of std above 0; it does not: {MEND}")
