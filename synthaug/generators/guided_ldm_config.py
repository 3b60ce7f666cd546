"""Configuration that, with the weights, is all a guided LDM needs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.conditions import VolumeBounds
from synthaug.errors import BoundsError, ConfigurationError, SynthAugError, did_you_mean
from synthaug.generators.guided_ldm_checks import check_keys, check_values
from synthaug.generators.sampling_config import SamplingConfig
from synthaug.labels import LabelScheme
from synthaug.volumes import CaseRecord
from synthaug.volumes.grid import Grid

FORMAT_VERSION = 1
CONFIG_NAME = "config.json"

STEEPEST_END = 4.0
"""A correction goes on beyond its end with this slope at most: where realised volumes level off it has no end."""

LARGEST_LOGARITHM = 50.0
"""Of a condition in mL: far beyond any volume, and finite."""


def refuse_no_volume(name: str, volume_ml: float) -> None:
    """Refuse a target whose logarithm, which the networks are given, does not exist.

    Raises:
        BoundsError: the volume is not above 0.
    """
    if not volume_ml > 0:
        raise BoundsError(f"target {name}={volume_ml:g} mL; allowed: a volume above 0; choose a larger one")


@dataclass(frozen=True)
class LatentScale:
    """Statistics that bring a latent to zero mean and unit deviation, measured once over the training set.

    Attributes:
        mean: by latent channel.
        std: by latent channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class ControlCorrection:
    """How realised volumes follow the condition, as points of a rising curve, both in mL.

    Attributes:
        conditions_ml: conditions, rising.
        realised_ml: what comes out, rising.
    """

    conditions_ml: tuple[float, ...]
    realised_ml: tuple[float, ...]

    def condition_for(self, target_ml: float, control: str = "volume") -> float:
        """Condition in mL that gives ``target_ml``; beyond the curve its logarithm goes on with the slope of its end.

        Raises:
            BoundsError: a target that is not above 0.
        """
        refuse_no_volume(control, target_ml)
        target = math.log(target_ml)
        realised, conditions = np.log(self.realised_ml), np.log(self.conditions_ml)
        if len(realised) > 1 and not realised[0] <= target <= realised[-1]:
            inner, end = (1, 0) if target < realised[0] else (-2, -1)
            slope = (conditions[end] - conditions[inner]) / (realised[end] - realised[inner])
            beyond = conditions[end] + min(slope, STEEPEST_END) * (target - realised[end])
            return float(np.exp(np.clip(beyond, -LARGEST_LOGARITHM, LARGEST_LOGARITHM)))
        return float(np.exp(np.interp(target, realised, conditions)))


@dataclass(frozen=True)
class GuidedLDMConfig:
    """Everything but the weights.

    Attributes:
        name: name of the generator.
        scheme: label scheme.
        channels: names of the image channels.
        grid: shape and spacing of the pairs, RAS+.
        limits_ml: bounds of each volume control in mL; the controls and their order.
        label_autoencoder: arguments of :class:`~synthaug.networks.label_autoencoder.LabelAutoencoder`.
        mask_diffusion: arguments of :class:`~synthaug.networks.mask_diffusion.MaskDiffusionUNet`.
        image_autoencoder: arguments of :class:`~synthaug.networks.image_autoencoder.ImageAutoencoder`.
        image_diffusion: arguments of :class:`~synthaug.networks.image_diffusion.ImageDiffusionUNet`.
        mask_latent: scale of the label-map latents.
        image_latent: scale of the image latents.
        intensity_window: intensity that normalised 1 stands for, by channel.
        sampling: default sampler settings.
        corrections: by control, measured with those settings when that control is given alone.
        licence: licence of the weights, which is that of their data.
        training_cases: what the weights were fitted on.
        versions: versions of the libraries that fitted them.
    """

    name: str
    scheme: LabelScheme
    channels: tuple[str, ...]
    grid: Grid
    limits_ml: Mapping[str, tuple[float, float]]
    label_autoencoder: Mapping[str, Any]
    mask_diffusion: Mapping[str, Any]
    image_autoencoder: Mapping[str, Any]
    image_diffusion: Mapping[str, Any]
    mask_latent: LatentScale
    image_latent: LatentScale
    intensity_window: tuple[float, ...]
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    corrections: Mapping[str, ControlCorrection] = field(default_factory=dict)
    licence: str = "unknown"
    training_cases: tuple[CaseRecord, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def bounds(self) -> VolumeBounds:
        """Bounds of the controls in mL."""
        return VolumeBounds(dict(self.limits_ml))

    def with_sampling(self, **options: Any) -> GuidedLDMConfig:
        """Copy with other sampler settings; None leaves a setting as it is, ``steps`` sets both stages' steps."""
        given = {key: value for key, value in options.items() if value is not None}
        steps = given.pop("steps", None)
        if steps is not None:
            given = {"mask_steps": steps, "image_steps": steps, **given}
        known = set(asdict(self.sampling))
        for key in given:
            if key not in known:
                raise ConfigurationError(
                    f"unknown sampler option {key!r}{did_you_mean(key, known)}; "
                    f"the options are {', '.join(sorted(known))}"
                )
        return replace(self, sampling=replace(self.sampling, **given))

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        content = {
            key: getattr(self, key)
            for key in ("name", "channels", "limits_ml", "label_autoencoder", "mask_diffusion", "image_autoencoder")
        }
        return {
            "format_version": FORMAT_VERSION,
            "system": "guided-ldm",
            **content,
            "image_diffusion": self.image_diffusion,
            "scheme": self.scheme.to_dict(),
            "grid": {**asdict(self.grid), "orientation": "RAS"},
            "mask_latent": asdict(self.mask_latent),
            "image_latent": asdict(self.image_latent),
            "intensity_window": self.intensity_window,
            "null_condition": "value 0, presence 0 for every control",
            "noise_schedule": "rectified flow, logit-normal times",
            "weights": "exponential moving average",
            "sampling": asdict(self.sampling),
            "corrections": {control: asdict(correction) for control, correction in self.corrections.items()},
            "licence": self.licence,
            "training_cases": [asdict(case) for case in self.training_cases],
            "versions": dict(self.versions),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> GuidedLDMConfig:
        """Read the JSON form.

        Raises:
            ConfigurationError: a key is missing, unknown or of the wrong form, values contradict each other, or the
                format is of a later version.
        """
        if content.get("format_version") != FORMAT_VERSION:
            raise ConfigurationError(
                f"{where}: format_version is {content.get('format_version')!r}; "
                f"this version of synthaug reads {FORMAT_VERSION}: install the synthaug version that wrote it"
            )
        try:
            check_keys(content)
            config = cls(
                name=content["name"],
                scheme=LabelScheme.from_dict(content["scheme"]),
                channels=tuple(content["channels"]),
                grid=Grid(tuple(content["grid"]["shape"]), tuple(content["grid"]["spacing_mm"])),
                limits_ml={key: (float(low), float(high)) for key, (low, high) in content["limits_ml"].items()},
                label_autoencoder=content["label_autoencoder"],
                mask_diffusion=content["mask_diffusion"],
                image_autoencoder=content["image_autoencoder"],
                image_diffusion=content["image_diffusion"],
                mask_latent=LatentScale(**{key: tuple(value) for key, value in content["mask_latent"].items()}),
                image_latent=LatentScale(**{key: tuple(value) for key, value in content["image_latent"].items()}),
                intensity_window=tuple(content["intensity_window"]),
                sampling=_read_sampling(content["sampling"]),
                corrections={
                    control: ControlCorrection(**{key: tuple(map(float, points)) for key, points in curve.items()})
                    for control, curve in content["corrections"].items()
                },
                licence=content["licence"],
                training_cases=tuple(CaseRecord(**case) for case in content["training_cases"]),
                versions=content["versions"],
            )
            check_values(config)
            return config
        except SynthAugError as error:
            raise ConfigurationError(f"{where}: {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ConfigurationError(
                f"{where}: not a guided LDM configuration ({error!r}); fit or fetch the generator again"
            ) from error

    @classmethod
    def read(cls, folder: Path) -> GuidedLDMConfig:
        """Read ``config.json`` of a generator's folder."""
        path = folder / CONFIG_NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigurationError(f"{path} is missing; name a folder that `synthaug fit` wrote") from error
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read ({error.strerror or error}); check the path and its permissions"
            ) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is not valid JSON ({error}); fit or fetch the generator again") from error
        if not isinstance(content, dict):
            raise ConfigurationError(f"{path} holds no JSON object; fit or fetch the generator again")
        return cls.from_dict(content, str(path))


def _read_sampling(content: Mapping[str, Any]) -> SamplingConfig:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    return SamplingConfig(**values)
